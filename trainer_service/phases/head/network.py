"""A trained classifier as a whole: what is evaluated, quantized and exported."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.models.manifest import HeatmapInfo, Precision
from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.export import Converted, export_version
from trainer_service.backbones.features import Features
from trainer_service.backbones.weights import Weights
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.head.solved import LinearHead

#: Rows of features in one call of the head.
PREDICT_BATCH = 4096


def answers_of(head: Any, features: Features) -> Probabilities:
    """Return the probabilities, float32 (n, labels), that a `keras.Model` gives for features."""
    return np.asarray(head.predict(features, batch_size=PREDICT_BATCH, verbose=0), np.float32)


@dataclass(frozen=True)
class Network(ABC):
    """A trained classifier, whichever of its layers were trained.

    Attributes:
        labels: in the order of the probabilities.
        backbone: the pre-trained one that the training began with.
    """

    labels: list[str]
    backbone: Backbone

    @property
    def precision(self) -> Precision:
        """What `predict` computes in."""
        return self.backbone.precision

    @property
    def architecture(self) -> Architecture:
        return self.backbone.architecture

    @property
    def embedding_size(self) -> int:
        """How many features, the last ones of the backbone, are the embedding."""
        return self.backbone.architecture.feature_size

    @property
    def weights(self) -> Weights:
        return self.backbone.weights

    @abstractmethod
    def predict(self, images: Sequence[ImageRecord]) -> Probabilities:
        """Return the probabilities of some of the dataset's used images.

        Returns:
            float32 of shape (len(images), len(labels)); each row adds up to 1.
        """

    @property
    @abstractmethod
    def embedding_is_learnt(self) -> bool:
        """Whether embeddings depend on the training images, so that these are more alike."""

    @abstractmethod
    def embeddings(self, images: Sequence[ImageRecord]) -> Features:
        """Return what the last layer of the backbone gives for some of the dataset's used images.

        Returns:
            float32 of shape (len(images), embedding_size).
        """

    @abstractmethod
    def export(self, directory: Path, check_cancelled: Callable[[], None]) -> HeatmapInfo | None:
        """Write the network in every format that a version holds.

        Args:
            directory: an existing directory.
            check_cancelled: called between the parts; what it raises ends the export.

        Returns:
            What heatmaps are made of; None if there can be none.
        """


@dataclass(frozen=True)
class FrozenNetwork(Network):
    """A pre-trained backbone as it was, and a head that was trained on its features.

    Attributes:
        head: a `keras.Model`, float32 (n, feature_size) to probabilities float32 (n, len(labels)).
        solved: the same, if it is a regression.
    """

    head: Any
    solved: LinearHead | None = None

    def predict(self, images: Sequence[ImageRecord]) -> Probabilities:
        features = self.backbone.read([image.sha256 for image in images])
        if self.solved is not None:  # Keras needs longer to begin than this takes
            return self.solved.answers(features)
        return answers_of(self.head, features)

    @property
    def embedding_is_learnt(self) -> bool:
        return False

    def embeddings(self, images: Sequence[ImageRecord]) -> Features:
        last = self.backbone.with_taps("last")
        return last.read([image.sha256 for image in images])

    def export(self, directory: Path, check_cancelled: Callable[[], None]) -> HeatmapInfo | None:
        converted = Converted(self.backbone.ir(), self.backbone.graph())
        backbone, size = self.backbone.model(), self.embedding_size
        check_cancelled()
        return export_version(
            backbone, self.head, directory, embedding_size=size, converted=converted
        )
