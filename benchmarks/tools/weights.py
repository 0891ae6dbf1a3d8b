"""Weights for benchmarks: real ones if `HEADSTART_WEIGHTS` has them, else random ones."""

from pathlib import Path

from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.backbone import build_backbone
from trainer_service.backbones.download import file_digest
from trainer_service.backbones.weights import Weights
from trainer_service.settings import TrainerSettings


def weights_for(architecture: Architecture, directory: Path) -> Weights:
    """Return weights for an architecture; their values do not affect the speed.

    Args:
        architecture: the architecture.
        directory: where random weights are kept.
    """
    real = TrainerSettings().weights / f"{architecture.id}.weights.h5"
    if real.is_file():
        return Weights(real.name, real, file_digest(real))
    path = directory / f"{architecture.id}.weights.h5"
    if not path.exists():
        backbone = build_backbone(architecture, None)
        next(layer for layer in backbone.layers if hasattr(layer, "layers")).save_weights(path)
    return Weights(path.name, path, file_digest(path))
