"""The pre-trained network of a training, as its phases use it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shared.engines import Engine, Precision
from trainer_service.backbones import weights as weights_files
from trainer_service.backbones.architectures import Architecture, TapSet, find_architecture
from trainer_service.backbones.backbone import (
    backbone_ir,
    bottleneck_engine,
    cached_backbone,
    feature_space,
)
from trainer_service.backbones.features import FeatureStore
from trainer_service.backbones.weights import Weights
from trainer_service.phases.work import Work, Worker
from trainer_service.store.stores import BACKBONES


@dataclass(frozen=True, slots=True)
class Backbone:
    """An architecture with its pre-trained weights, which a training leaves as they are.

    Attributes:
        precision: what its features are computed in, by all workers that work on the training.
        taps: which of its layers the features are taken from.
    """

    worker: Worker
    architecture: Architecture
    weights: Weights
    precision: Precision
    taps: TapSet = "last"

    @classmethod
    def of(cls, work: Work, precision: Precision, taps: TapSet = "last") -> Self:
        """Return the backbone that a training asks for; its weights are downloaded if need be.

        Raises:
            WeightsUnavailable: the weights can't be had.
            TrainingCancelled: the training was cancelled during the download.
        """
        architecture = find_architecture(work.record.architecture)
        weights = weights_files.resolve(architecture, work.worker.settings, work.check_cancelled)
        return cls(work.worker, architecture, weights, precision, taps)

    @property
    def features(self) -> FeatureStore:
        """The features of images that any training has computed with this backbone."""
        space = feature_space(self.architecture, self.weights, self.precision, self.taps)
        return FeatureStore(self.worker.settings.store, space)

    def engine(self) -> Engine:
        """Return the engine that computes its features; it stays loaded in this process."""
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
        """Return it as a `keras.Model` in float32, which must not be trained."""
        return cached_backbone(self.architecture, self.weights, self.taps)

    def ir(self) -> Path:
        """Return the file of it as an OpenVINO model, converted if it was not before."""
        cache = self.worker.settings.store / BACKBONES
        return backbone_ir(self.architecture, self.weights, cache, taps=self.taps)
