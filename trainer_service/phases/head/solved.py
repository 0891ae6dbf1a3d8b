"""A solved regression as a Keras model, as the networks that are exported need it."""

from typing import Any

from trainer_service.backbones.features import Features


def as_layers(kernel: Features, bias: Features) -> Any:
    """Return a `keras.Model` of one dense layer with a softmax.

    Args:
        kernel: float32 (features, labels).
        bias: float32 (labels,).

    Returns:
        float32 (n, features) to probabilities float32 (n, labels).
    """
    import keras

    dense = keras.layers.Dense(len(bias), activation="softmax", name="probabilities")
    model = keras.Sequential([keras.Input((len(kernel),), name="features"), dense], name="head")
    dense.set_weights([kernel, bias])
    return model
