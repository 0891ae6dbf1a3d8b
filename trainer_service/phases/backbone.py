"""The pre-trained network of a training, as its phases use it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from shared.engines import Engine, Precision
from trainer_service.backbones import weights as weights_files
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.backbone import (
    backbone_ir,
    bottleneck_engine,
    build_backbone,
    cached_backbone,
    cached_graph,
    feature_space,
    view_space,
)
from trainer_service.backbones.features import Features, FeatureStore
from trainer_service.backbones.weights import Weights
from trainer_service.phases.views import Views
from trainer_service.phases.work import Work, Worker
from trainer_service.requests.training import TapSet
from trainer_service.store.stores import BACKBONES


@dataclass(frozen=True, slots=True)
class Backbone:
    """An architecture with its pre-trained weights, which a training leaves as they are.

    Attributes:
        precision: what its features are computed in, by all workers that work on the training.
        computed_taps: the layers whose features are stored for the training.
        taps: those of them that its features are taken from.
        views: the views of training images that a head may learn from.
    """

    worker: Worker
    architecture: Architecture
    weights: Weights
    precision: Precision
    computed_taps: TapSet
    taps: TapSet
    views: Views

    @classmethod
    def of(cls, work: Work, precision: Precision) -> Self:
        """Return the backbone that a training asks for, with all taps that are computed for it.

        Its weights are downloaded if need be.

        Raises:
            WeightsUnavailable: the weights can't be had.
            TrainingCancelled: the training was cancelled during the download.
        """
        architecture = find_architecture(work.record.architecture)
        request = work.record.request
        taps, size = request.computed_taps, architecture.input_size
        views = Views.of(size, request.views, request.augment, request.seed)
        weights = weights_files.resolve(architecture, work.worker.settings, work.check_cancelled)
        return cls(work.worker, architecture, weights, precision, taps, taps, views)

    def with_taps(self, taps: TapSet) -> Self:
        """Return the same backbone with some of its taps only."""
        return replace(self, taps=taps)

    @property
    def features(self) -> FeatureStore:
        """The features of images that any training has computed with this backbone."""
        return FeatureStore(self.worker.settings.store, self._space, width=self._width)

    @property
    def view_features(self) -> FeatureStore:
        """The features of views that any training has computed with this backbone.

        A view is known by its `view_name`.
        """
        space = view_space(self.architecture, self._space, self.views.key)
        return FeatureStore(self.worker.settings.store, space, width=self._width)

    @property
    def _width(self) -> int:
        return self.architecture.feature_size_of(self.computed_taps)

    @property
    def _space(self) -> str:
        return feature_space(self.architecture, self.weights, self.precision, self.computed_taps)

    def read(self, images: Sequence[str]) -> Features:
        """Return the stored features of images, by their SHA-256: float32 (n, feature_size).

        Raises:
            FeaturesGone: an image has no features here.
            OSError: they can't be read now.
        """
        return self.features.read(images, last=self.architecture.feature_size_of(self.taps))

    def engine(self) -> Engine:
        """Return the engine that computes the features; it stays loaded in this process."""
        return bottleneck_engine(
            self.architecture,
            self.weights,
            self.worker.settings.engine,
            self.precision,
            self.worker.settings.store / BACKBONES,
            self.worker.threads,
            self.taps,
        )

    def model(self) -> Any:
        """Return the backbone as a `keras.Model` in float32, which must not be trained."""
        return cached_backbone(self.architecture, self.weights, self.taps)

    def graph(self) -> Any:
        """Return its TensorFlow graph from pixels to features and maps, float32."""
        return cached_graph(self.architecture, self.weights, self.taps)

    def trainable_model(self) -> Any:
        """Return a new `keras.Model` of it in float32."""
        return build_backbone(self.architecture, self.weights, self.taps)

    def ir(self) -> Path:
        """Return the file of the backbone as an OpenVINO model, converted if it is missing."""
        cache = self.worker.settings.store / BACKBONES
        return backbone_ir(self.architecture, self.weights, cache, taps=self.taps)
