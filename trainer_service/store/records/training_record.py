"""The record of a training."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import AwareDatetime, Field

from shared.manifest import Quantization
from trainer_service.errors import TrainingEnded
from trainer_service.store.records.parts import (
    FEW_LABELS,
    BaseRecord,
    Brief,
    ErrorInfo,
    Found,
    RecordPart,
)
from trainer_service.training_request import TrainingRequest


class State(StrEnum):
    """Where a training stands; the last three are its ends."""

    QUEUED = "queued"
    PREPARING = "preparing"
    BOTTLENECK = "bottleneck"
    HEAD = "head"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


class Transition(RecordPart):
    """A state and when it was entered; `seconds` is how long it lasted, null while it does."""

    state: State
    at: AwareDatetime
    seconds: float | None = None


class Progress(RecordPart):
    phase: State
    done: int
    total: int
    per_second: float | None = None
    eta_seconds: float | None = None


class TrainingDataset(Found):
    id: str
    split: dict[str, int] = Field(default_factory=dict)


class CacheUse(RecordPart):
    """How many images' features were already there, and the seconds of computing that saved."""

    reused: int
    computed: int
    seconds_saved: float


class Asked(RecordPart):
    """What somebody has asked of a training that has not ended; see `TrainingRecord`."""

    cancel: bool = False
    stop_after: int | None = None


class TrainingRecord(BaseRecord):
    """One training, as the trainer answers it and as it lies in the store.

    Attributes:
        metrics: numbers; those of each label and the confusion matrix are in the report, and with
            few labels in the answer of this training alone, too.
        report: where that is answered, once there is one.
        stop_after: the epoch that the head was at when it was asked to stop and to publish the
            best so far; a head trained again after a fault stops there, too.
    """

    model: str
    architecture: str
    state: State
    version: int | None = None
    dataset: TrainingDataset
    progress: Progress | None = None
    transitions: list[Transition] = Field(min_length=1)
    cache: CacheUse | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    report: str | None = None
    quantization: Quantization | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    stop_after: int | None = None
    request: TrainingRequest

    def enter(self, state: State) -> None:
        """Move to `state`, timing the one that ends; entering the current one changes nothing.

        Raises:
            TrainingEnded: the training has ended; there is no way back.
        """
        if state == self.state:
            return
        if self.state.ended:
            raise TrainingEnded(self.id, self.state)
        now = datetime.now(UTC)
        last = self.transitions[-1]
        # The clock of the machine may have been set back since.
        last.seconds = round(max(0.0, (now - last.at).total_seconds()), 3)
        seconds = 0.0 if state.ended else None
        self.transitions.append(Transition(state=state, at=now, seconds=seconds))
        self.state = state
        self.progress = None

    def in_lists(self) -> Self:
        """Return what lists show."""
        short = {"metrics": numbers(self.metrics), "dataset": self.dataset.in_lists()}
        return self.model_copy(update=short)

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        listed = self.in_lists().model_dump_json().encode()
        waits = not self.state.ended
        return Brief(self.id, self.created_at, self.state, waits, self.dataset.id, listed)


def told(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as the answer for a training or a version shows it.

    With many labels, the metrics of each label and the confusion matrix are left to the report.
    """
    test = metrics.get("test")
    labels = test.get("per_class") if isinstance(test, dict) else None
    many = isinstance(labels, dict) and len(labels) > FEW_LABELS
    return numbers(metrics) if many else metrics


def numbers(metrics: dict[str, Any]) -> dict[str, dict[str, int | float]]:
    """Return of each part of an evaluation what is a number, as the accuracy is."""
    return {
        part: {name: value for name, value in values.items() if isinstance(value, int | float)}
        for part, values in metrics.items()
        if isinstance(values, dict)
    }
