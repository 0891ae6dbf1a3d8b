"""A solved regression, and the same as a Keras model, as networks that are exported need it."""

from dataclasses import dataclass
from typing import Any

from trainer_service.backbones.features import Features
from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.head.regression.solver import softmax


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A dense layer with softmax on raw features.

    Attributes:
        kernel: float32 (features, labels).
        bias: float32 (labels,).
    """

    kernel: Features
    bias: Features

    def answers(self, features: Features) -> Probabilities:
        """Return probabilities, float32 (n, labels), for features, float32 (n, features)."""
        return softmax((features @ self.kernel + self.bias).T).T


def as_layers(head: LinearHead) -> Any:
    """Return a head as a `keras.Model` of one dense layer with a softmax.

    Returns:
        float32 (n, features) to probabilities float32 (n, labels).
    """
    import keras

    features, labels = head.kernel.shape
    dense = keras.layers.Dense(labels, activation="softmax", name="probabilities")
    model = keras.Sequential([keras.Input((features,), name="features"), dense], name="head")
    dense.set_weights([head.kernel, head.bias])
    return model
