"""Weights for tests: random, but such that every layer of a network matters to its output."""

import fcntl
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer_service.backbones.architectures import CATALOGUE, Architecture
from trainer_service.backbones.backbone import build_backbone
from trainer_service.backbones.download import file_digest
from trainer_service.backbones.weights import Weights

#: A small network, and one whose layers no other has. What is the same for every network is tested
#: with these by `make test`, and with all of them by `make test-all`.
ALWAYS = {"mobilenet_v2", "convnext_tiny"}
ARCHITECTURES = [
    name if name in ALWAYS else pytest.param(name, marks=pytest.mark.exhaustive)
    for name in CATALOGUE
]

GAINS = {"efficientnet_v2_b0": 2.5, "mobilenet_v3_large": 1.7}


def random_weights(architecture: Architecture, directory: Path) -> Weights:
    """Write `<directory>/<id>.weights.h5`, as Keras saves it, unless it is there, and return it."""
    path = directory / f"{architecture.id}.weights.h5"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _write(architecture, path)
    return Weights(path.name, path, file_digest(path))


def _write(architecture: Architecture, path: Path) -> None:
    backbone = build_backbone(architecture, None)
    network = next(layer for layer in backbone.layers if hasattr(layer, "layers"))
    # Swish and squeeze-excite let half as much through as a ReLU does.
    randomise(network, GAINS.get(architecture.id, 1.4))
    unfinished = path.with_name(f"unfinished-{path.name}")
    network.save_weights(unfinished)
    unfinished.rename(path)


def randomise(network: Any, gain: float) -> None:
    """Replace Keras' initial values, which leave normalisations and biases without effect."""
    generator = np.random.default_rng(7)
    for variable in network.variables:
        variable.assign(_values(variable.path, tuple(variable.shape), gain, generator))


def _values(path: str, shape: tuple[int, ...], gain: float, generator: np.random.Generator) -> Any:
    name = path.rsplit("/", 1)[-1]
    if name == "kernel":
        fan_in = np.prod(shape[:2]) if "depthwise" in path else np.prod(shape[:-1])
        return generator.normal(0, gain / np.sqrt(fan_in), shape)
    if name in ("gamma", "moving_variance"):
        return generator.uniform(0.7, 1.3, shape)
    return generator.normal(0, 0.1, shape)


def random_pixels(architecture: Architecture, count: int) -> Any:
    """Return pictures that differ strongly: uint8 of shape (count, height, width, 3)."""
    size = architecture.input_size
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    repeats = -(-size // 6)
    return coarse.repeat(repeats, axis=1).repeat(repeats, axis=2)[:, :size, :size].copy()


def sensitive_head(features: Any, labels: int = 3) -> Any:
    """Return a head whose probabilities tell these features apart.

    Args:
        features: float32 of shape (n, k); the head standardises by them.
        labels: number of its outputs.
    """
    import keras

    generator = np.random.default_rng(5)
    scale = features.std(axis=0).mean() * np.sqrt(features.shape[1]) + 1e-12
    kernel = generator.normal(0, 1, (features.shape[1], labels)) / scale
    bias = -features.mean(axis=0) @ kernel
    dense = keras.layers.Dense(labels, activation="softmax")
    head = keras.Sequential([keras.Input((features.shape[1],)), keras.layers.Dropout(0.2), dense])
    dense.set_weights([kernel, bias])
    return head
