"""The evaluation of a trained network on images that it has not seen."""

from dataclasses import dataclass
from typing import Any

from shared.models.manifest import CoverageInfo
from shared.models.prediction_sets import Doubts
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.evaluate.coverage import covered
from trainer_service.phases.evaluate.metrics import accuracy_and_loss, evaluate
from trainer_service.phases.evaluate.suspects import Found, find_suspects
from trainer_service.phases.evaluate.unknown import Familiar, familiar
from trainer_service.phases.head.data import Probabilities, Truth, truth_of
from trainer_service.phases.head.fitting import Trained
from trainer_service.phases.head.network import Network
from trainer_service.phases.work import Work
from trainer_service.store.records.suspects import Suspect, save_suspects
from trainer_service.store.records.training_record import State, SuspectCount, TrainingRecord


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A trained network and its evaluation.

    Attributes:
        metrics: under "validation" its `accuracy` and `loss`, under "test" what `evaluate` returns,
            under "suspects" how many there are, and of how many images.
        validation_truth: int64 (n,), index of the right label of each validation image.
        test_truth: int64 (n,), index of the right label of each test image.
        test_probabilities: float32 (n, len(labels)), the network's answers to the test images.
        suspects: the images of all parts whose label the others contradict, the clearest first.
        familiar: what tells which pictures are unknown to the network.
        doubts: what tells how many labels to answer.
        coverage: how often the right one is among these.
    """

    trained: Trained
    metrics: dict[str, Any]
    validation_truth: Truth
    test_truth: Truth
    test_probabilities: Probabilities
    suspects: list[Suspect]
    familiar: Familiar
    doubts: Doubts
    coverage: CoverageInfo

    @property
    def network(self) -> Network:
        return self.trained.network

    @property
    def labels(self) -> list[str]:
        return self.network.labels

    @property
    def test_images(self) -> list[ImageRecord]:
        return self.trained.splits["test"]


def evaluate_network(work: Work, trained: Trained) -> Evaluated:
    """Evaluate a trained network on the test images, and sum up how it was validated.

    The images whose labels look wrong are written down beside the training's record.

    Raises:
        TrainingCancelled: the training was cancelled.
        FeaturesGone: features of these images were removed while the training ran.
    """
    work.enter(State.EVALUATING)
    network, splits = trained.network, trained.splits
    test_truth, validation_truth = (
        truth_of(splits[part], network.labels) for part in ("test", "validation")
    )
    test_probabilities = network.predict(splits["test"])
    found = find_suspects(work, trained, test_probabilities)
    _keep(work, found)
    metrics = {
        "validation": accuracy_and_loss(*trained.validated),
        "test": evaluate(test_probabilities, test_truth, network.labels),
        "suspects": {"count": len(found.suspects), "images": found.images},
    }
    doubts, coverage = covered(trained.validated, (test_probabilities, test_truth))
    return Evaluated(
        trained,
        metrics,
        validation_truth,
        test_truth,
        test_probabilities,
        found.suspects,
        familiar(network, splits),
        doubts,
        coverage,
    )


def _keep(work: Work, found: Found) -> None:
    save_suspects(work.worker.stores.trainings.directory(work.record.id), found.suspects)

    def note(record: TrainingRecord) -> None:
        record.suspects = SuspectCount(
            count=len(found.suspects), images=found.images, detail=found.detail
        )

    work.update(note)
