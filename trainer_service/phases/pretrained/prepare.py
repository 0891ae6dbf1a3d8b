"""The first step of a pre-trained network: its weights are there afterwards."""

from trainer_service.backbones import weights as weights_files
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.weights import Weights
from trainer_service.phases.work import Work
from trainer_service.store.records.training_record import State


def prepare_pretrained(work: Work) -> None:
    """Download the weights if need be; afterwards the network can be published.

    Raises:
        TrainingCancelled: it was cancelled.
        WeightsUnavailable: the weights with the classifier can't be had.
        LeaseLost: another process has taken over.
    """
    work.check_cancelled.now()
    work.enter(State.PREPARING)
    weights_with_top(work)
    work.held.raise_if_lost()  # a new plan would undo what another process has done since
    work.shards.plan([], "f32")  # no features are computed
    work.enter(State.PUBLISHING)


def weights_with_top(work: Work) -> Weights:
    """Return the weights of the network with its classifier.

    Raises:
        WeightsUnavailable: they can't be had.
        TrainingCancelled: it was cancelled during the download.
    """
    architecture = find_architecture(work.record.architecture)
    return weights_files.resolve(architecture, work.worker.settings, work.check_cancelled, top=True)
