"""The content of a report, before it becomes HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.models.manifest import Manifest
from trainer_service.datasets.children.corrections import Correction
from trainer_service.report.thumbnails import Embedded
from trainer_service.store.promoting import Verdict
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.suspects import Suspect
from trainer_service.store.records.training_record import TrainingRecord


class Answer(NamedTuple):
    """What the model answered to a test image.

    Attributes:
        name: the path of the image in the dataset.
        label: its true label.
        predicted: the label that the model answered.
        probability: the probability of that label.
        picture: a small copy of the image; None if it could not be read again.
        heat: the same, with what spoke for the answer over it; None if that is not shown.
    """

    name: str
    label: str
    predicted: str
    probability: float
    picture: Embedded | None
    heat: Embedded | None = None

    @property
    def right(self) -> bool:
        return self.label == self.predicted


class ShownSuspect(NamedTuple):
    """An image whose label the others contradict.

    Attributes:
        suspect: what is known of it.
        picture: a small copy of the image; None if it could not be read again.
    """

    suspect: Suspect
    picture: Embedded | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that is in a report.

    Attributes:
        manifest: the manifest of the version; it does not list the report itself yet.
        metrics: the whole evaluation; with many labels, the manifest has only its totals.
        record: the record of the training while it publishes.
        dataset: the record of its dataset.
        history: loss, accuracy, val_loss and val_accuracy of each epoch; of a regression, also the
            `taps` and `strength` of each attempt.
        best_epoch: the epoch or attempt, from 1, whose weights the model has.
        corrections: how the dataset differs from the first one of its line.
        tune_history: val_loss and val_accuracy of each epoch of fine-tuning, if there was any.
        mistakes: the most confident wrong answers, the most confident first.
        samples: the answers to test images that were drawn at random.
        suspects: the first of the images whose label the others contradict.
        predictor: the base URL of the predictor.
        verdict: whether the version is to be served, as it was decided when it was published.
    """

    manifest: Manifest
    metrics: dict[str, Any]
    record: TrainingRecord
    dataset: DatasetRecord
    history: Sequence[dict[str, Any]]
    best_epoch: int
    mistakes: Sequence[Answer]
    samples: Sequence[Answer]
    predictor: str
    suspects: Sequence[ShownSuspect] = ()
    tune_history: Sequence[dict[str, Any]] = ()
    corrections: Sequence[Correction] = ()
    verdict: Verdict | None = None
