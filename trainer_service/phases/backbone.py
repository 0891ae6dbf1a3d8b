"""The backbone of a training: what it computes features in, and where they are kept."""

from shared.engines import Precision, select_engine
from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.backbone import bottleneck_precision, feature_space
from trainer_service.backbones.features import FeatureStore
from trainer_service.backbones.weights import Weights
from trainer_service.settings import TrainerSettings


def planned_precision(settings: TrainerSettings) -> Precision:
    """Return what a training that this machine prepares computes its features in."""
    return bottleneck_precision(select_engine(settings.engine), settings.precision)


def feature_store(
    settings: TrainerSettings, architecture: Architecture, weights: Weights, precision: Precision
) -> FeatureStore:
    """Return where the features of the backbone are kept that are computed in a precision."""
    return FeatureStore(settings.store, feature_space(architecture, weights, precision))
