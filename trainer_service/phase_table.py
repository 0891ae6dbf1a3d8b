"""The phases of a training in their order, and which of its steps come next.

Both follow from the record, the dataset and the shards of a training alone.
"""

from typing import Literal, NamedTuple

from trainer_service.queue.steps import COMPUTE_SHARD, FINISH, PREPARE, READ_DATASET, Step
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.shards import Shards


class Phase(NamedTuple):
    """A phase of a training.

    Attributes:
        state: the training's state during the phase.
        task: the task on the queue that does it.
        counts: the unit of the phase's progress; None if the phase reports no progress. Tuning
            counts views of images, and then the images of all epochs.
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
    Phase(State.TUNING, FINISH, "images", can_stop=True),
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


def next_steps(record: TrainingRecord, shards: Shards, *, waits: bool = False) -> list[Step]:
    """Return the next steps of a training that has not ended; shards can be computed in any order.

    Args:
        record: the record of the training.
        shards: its shards.
        waits: whether it waits for its dataset to be read.
    """
    if needs_plan(record, shards):
        if waits:
            return [Step(READ_DATASET, (record.dataset.known_id,))]
        return [Step(PREPARE, (record.id,))]
    unfinished = shards.unfinished()
    if unfinished:
        return [Step(COMPUTE_SHARD, (record.id, number)) for number in unfinished]
    return [Step(FINISH, (record.id,))]


def needs_plan(record: TrainingRecord, shards: Shards) -> bool:
    """Return whether the training's shards are still to be planned."""
    return is_before_plan(record.state) or shards.count() is None
