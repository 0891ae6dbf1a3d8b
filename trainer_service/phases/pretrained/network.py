"""The network that is published: what was asked for, and its parts."""

from typing import NamedTuple, Self

from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.imagenet import Selection
from trainer_service.backbones.top import Pretrained, build_pretrained
from trainer_service.backbones.weights import Weights
from trainer_service.phases.pretrained.prepare import weights_with_top
from trainer_service.phases.work import Work
from trainer_service.requests.pretrained import PretrainedRequest


class Network(NamedTuple):
    """A pre-trained network with the labels that it is to answer.

    Attributes:
        architecture: its row of the catalogue.
        weights: its weights with the classifier.
        selection: the labels, and what they stand for.
        parts: its backbone and its head, as `keras.Model`s.
    """

    architecture: Architecture
    weights: Weights
    selection: Selection
    parts: Pretrained

    @property
    def labels(self) -> list[str]:
        return list(self.selection.labels)

    @classmethod
    def build(cls, work: Work, asked: PretrainedRequest) -> Self:
        """Return the network that a job is to publish.

        Raises:
            TrainingCancelled: it was cancelled while the weights were downloaded.
            WeightsUnavailable: the weights are gone, damaged, or of another architecture.
        """
        architecture = find_architecture(work.record.architecture)
        weights = weights_with_top(work)
        selection = Selection.of(asked.classes, asked.rest)
        parts = build_pretrained(architecture, weights, selection)
        return cls(architecture, weights, selection, parts)
