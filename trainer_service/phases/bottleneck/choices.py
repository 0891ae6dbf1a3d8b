"""Which backbone, engine and feature store a training's bottleneck phase uses here."""

from shared.engines import FEATURES, Precision, select_engine
from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.backbone import (
    bottleneck_engine,
    bottleneck_precision,
    feature_space,
)
from trainer_service.backbones.features import FeatureStore
from trainer_service.backbones.weights import Weights
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.work import Worker
from trainer_service.settings import TrainerSettings
from trainer_service.store.stores import BACKBONES

BATCH_SIZES = {"openvino": 16, "tensorflow": 64}


def planned_precision(settings: TrainerSettings) -> Precision:
    """Return what a training that this machine prepares computes its features in."""
    return bottleneck_precision(select_engine(settings.engine), settings.precision)


def feature_store(
    settings: TrainerSettings, architecture: Architecture, weights: Weights, precision: Precision
) -> FeatureStore:
    """Return where the features of the backbone are kept that are computed in a precision."""
    return FeatureStore(settings.store, feature_space(architecture, weights, precision))


def feature_computer_for(
    worker: Worker, architecture: Architecture, weights: Weights, precision: Precision
) -> FeatureComputer:
    """Return the computer for a backbone; the backbone itself stays loaded in this process."""
    engine = bottleneck_engine(
        architecture,
        weights,
        worker.settings.engine,
        precision,
        worker.settings.store / BACKBONES,
        worker.threads,
    )
    return FeatureComputer(
        engine,
        output=FEATURES,
        input_size=architecture.input_size,
        batch_size=BATCH_SIZES[engine.name],
        threads=worker.threads,
        limits=worker.image_limits,
    )
