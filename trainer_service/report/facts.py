"""What a report tells, gathered before any of it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.manifest import Manifest
from trainer_service.report.thumbnails import Embedded
from trainer_service.schemas import (
    DatasetRecord,
    EarlyStopping,
    TrainingRecord,
    TrainingRequest,
)


class Answer(NamedTuple):
    """A test image, what it is, what it was taken for, and how sure the model was of that."""

    name: str
    label: str
    predicted: str
    probability: float
    picture: Embedded | None

    @property
    def right(self) -> bool:
        return self.label == self.predicted


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is in a report.

    Attributes:
        manifest: of the version, complete but for the files of the report itself.
        metrics: the whole evaluation; with many labels a manifest has its numbers alone.
        record: of the training, as it publishes.
        dataset: what was trained on.
        history: what Keras logged, an entry an epoch.
        mistakes: the most confident ones, the most confident first.
        samples: test images drawn at random.
        predictor: base URL of the predictor.
    """

    manifest: Manifest
    metrics: dict[str, Any]
    record: TrainingRecord
    dataset: DatasetRecord
    history: Sequence[dict[str, float]]
    mistakes: Sequence[Answer]
    samples: Sequence[Answer]
    predictor: str


def kept_epoch(history: Sequence[dict[str, float]], request: TrainingRequest) -> int:
    """Return the epoch, from 1, whose weights the model has.

    The best; without early stopping the last, unless the training was asked to stop before it.
    """
    chosen = request.early_stopping
    if chosen == "off" and len(history) == request.epochs:
        return len(history)
    stopping = EarlyStopping() if chosen == "off" else chosen
    sign = -1 if stopping.metric == "val_loss" else 1
    kept, best = 1, sign * history[0][stopping.metric]
    for epoch, logs in enumerate(history, start=1):
        if sign * logs[stopping.metric] - stopping.min_delta > best:
            kept, best = epoch, sign * logs[stopping.metric]
    return kept
