"""The evaluation of a trained head on images that it has not seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.manifest import Precision
from trainer_service.backbones.features import Features
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.context import Worker
from trainer_service.phases.evaluate.metrics import (
    Probabilities,
    Truth,
    accuracy_and_loss,
    evaluate,
)
from trainer_service.phases.head.fitting import Trained
from trainer_service.phases.head.head import TrainedHead
from trainer_service.schemas import State, TrainingRecord

PREDICT_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained head and what the evaluation saw.

    Attributes:
        labels: in the order of the head's outputs.
        precision: what the features were computed in, and so all answers here.
        splits: the images of train, validation and test.
        validation_truth: int64 (n,), index of the right label of each validation image.
        test_truth: int64 (n,), index of the right label of each of them.
        test_probabilities: float32 (n, len(labels)), what the head answered.
    """

    head: TrainedHead
    labels: list[str]
    precision: Precision
    metrics: dict[str, Any]
    splits: dict[str, list[ImageRecord]]
    validation_truth: Truth
    test_truth: Truth
    test_probabilities: Probabilities

    @property
    def test_images(self) -> list[ImageRecord]:
        return self.splits["test"]


def evaluate_head(worker: Worker, record: TrainingRecord, trained: Trained) -> Fitted:
    """Evaluate a trained head on the validation images, and on those of the test."""
    worker.stores.trainings.update(record.id, lambda current: current.enter(State.EVALUATING))
    validation, test = trained.data("validation"), trained.data("test")
    test_probabilities = _predict(trained.head, test.features)
    metrics = {
        "validation": accuracy_and_loss(
            _predict(trained.head, validation.features), validation.truth
        ),
        "test": evaluate(test_probabilities, test.truth, trained.labels),
    }
    return Fitted(
        trained.head,
        trained.labels,
        trained.precision,
        metrics,
        trained.splits,
        validation.truth,
        test.truth,
        test_probabilities,
    )


def _predict(head: TrainedHead, features: Features) -> Probabilities:
    probabilities = head.model.predict(features, batch_size=PREDICT_BATCH, verbose=0)
    return np.asarray(probabilities, np.float32)
