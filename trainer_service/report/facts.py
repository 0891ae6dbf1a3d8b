"""What a report tells, gathered before any of it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.manifest import Manifest
from trainer_service.report.thumbnails import Embedded
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.training_record import TrainingRecord


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
        history: loss, accuracy, val_loss and val_accuracy of each epoch.
        best_epoch: the epoch, from 1, whose weights the model has.
        mistakes: the most confident ones, the most confident first.
        samples: test images drawn at random.
        predictor: base URL of the predictor.
    """

    manifest: Manifest
    metrics: dict[str, Any]
    record: TrainingRecord
    dataset: DatasetRecord
    history: Sequence[dict[str, float]]
    best_epoch: int
    mistakes: Sequence[Answer]
    samples: Sequence[Answer]
    predictor: str
