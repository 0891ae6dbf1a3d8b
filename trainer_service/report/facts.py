"""What a report tells, gathered before any of it is written."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shared.manifest import Manifest
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.head.fitting import Fitted
from trainer_service.report.thumbnails import Embedded
from trainer_service.schemas import (
    DatasetRecord,
    EarlyStopping,
    TrainingRecord,
    TrainingRequest,
)

MISTAKES = 12
SAMPLES = 10


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


def choose_mistakes(fitted: Fitted) -> list[int]:
    """Return the positions of the test images that were most confidently taken for another."""
    predicted = fitted.test_probabilities.argmax(axis=1)
    confidence = fitted.test_probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != fitted.test_truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return [int(index) for index in order[:MISTAKES]]


def choose_samples(fitted: Fitted, seed: int) -> list[int]:
    """Return the positions of some test images; the same seed gives the same ones."""
    count = len(fitted.test_images)
    return random.Random(seed).sample(range(count), min(SAMPLES, count))


def answers(
    fitted: Fitted, chosen: Sequence[int], picture_of: Callable[[ImageRecord], Embedded | None]
) -> list[Answer]:
    """Return the answers at some positions of the test images."""
    predicted = fitted.test_probabilities.argmax(axis=1)
    return [
        Answer(
            name=fitted.test_images[index].name,
            label=fitted.test_images[index].label,
            predicted=fitted.labels[predicted[index]],
            probability=float(fitted.test_probabilities[index, predicted[index]]),
            picture=picture_of(fitted.test_images[index]),
        )
        for index in chosen
    ]


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
