"""The phases of a training in their order, in one table for all code that depends on it."""

from typing import Literal, NamedTuple

from trainer_service.steps import COMPUTE_SHARD, FINISH, PREPARE
from trainer_service.store.records.training_record import State


class Phase(NamedTuple):
    """A phase of a training.

    Attributes:
        state: the training's state during the phase.
        task: the task on the queue that does it.
        counts: the unit of the phase's progress; None if the phase reports no progress.
        can_stop: whether the training can be asked to stop, so that the best head so far is
            published. It can be cancelled in every phase.
    """

    state: State
    task: str
    counts: Literal["images", "epochs"] | None
    can_stop: bool


PHASES = (
    Phase(State.QUEUED, PREPARE, None, can_stop=False),
    Phase(State.PREPARING, PREPARE, "images", can_stop=False),
    Phase(State.BOTTLENECK, COMPUTE_SHARD, "images", can_stop=False),
    Phase(State.HEAD, FINISH, "epochs", can_stop=True),
    Phase(State.EVALUATING, FINISH, None, can_stop=True),
    Phase(State.PUBLISHING, FINISH, None, can_stop=True),
)
_BY_STATE = {phase.state: phase for phase in PHASES}


def phase_of(state: State) -> Phase | None:
    """Return the phase of a state; None if a training in that state has ended."""
    return _BY_STATE.get(state)


def is_before_plan(state: State) -> bool:
    """Return whether a training in this state is still to be prepared, or is being prepared."""
    phase = phase_of(state)
    return phase is not None and phase.task == PREPARE
