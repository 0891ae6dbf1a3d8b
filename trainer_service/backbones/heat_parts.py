"""Finds what heatmaps are made of: in a backbone, in a head, and in their OpenVINO model.

Heatmaps need the maps that the features are averages of, and the weights of the head. A published
network has them all, so they are not stored again: in an OpenVINO model they get names, and a
SavedModel has signatures for them.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from shared.engines import FEATURES, PROBABILITIES
from shared.heatmaps.parts import (
    BIAS,
    FACTOR,
    HIDDEN_BIAS,
    HIDDEN_KERNEL,
    KERNEL,
    SHIFT,
    Floats,
    map_name,
    slope_name,
)
from shared.models.manifest import MapInfo
from trainer_service.backbones.keras_graph import features_of, network_of, node_of, operation_of
from trainer_service.backbones.tracing import SMALL

_DENSE = ((HIDDEN_KERNEL, HIDDEN_BIAS), (KERNEL, BIAS))


class NoHeatmaps(Exception):
    """A network is built in a way for which heatmaps can't be computed."""


def with_maps(backbone: Any) -> Any:
    """Return the `keras.Model` of a backbone that gives its maps behind its features.

    The layers are shared, and refer to the new model as long as it is not forgotten.

    Returns:
        From pixels to a list: the features, and for each tap what it pools, float32 of shape
        (n, height, width, channels).
    """
    import keras

    network = network_of(backbone)
    maps = [_map_of(feature) for feature in features_of(network)]
    inner = keras.Model(network.input, [network.output, *maps], name=network.name)
    (normalised,) = node_of(network).input_tensors
    return keras.Model(backbone.input, inner(normalised), name=backbone.name)


@contextmanager
def without_followers(backbone: Any) -> Iterator[None]:
    """Remove the layers from a backbone that are put behind one of its layers meanwhile.

    A Keras layer refers to the layers after it, and keeps them in memory.
    """
    # Keras has no other way.
    followers = [layer._outbound_nodes for layer in backbone.layers]  # noqa: SLF001
    known = [len(nodes) for nodes in followers]
    try:
        yield
    finally:
        for nodes, count in zip(followers, known, strict=True):
            del nodes[count:]


class Normalisation(NamedTuple):
    """A layer normalisation: its scale, float32 (channels,), and what is added to a variance."""

    gamma: Floats
    epsilon: float


def normalisations(backbone: Any) -> list[Normalisation | None]:
    """Return, for each tap, how its averages are normalised, or None."""
    import keras

    last = [operation_of(feature) for feature in features_of(network_of(backbone))]
    return [
        Normalisation(np.asarray(one.gamma.value), one.epsilon)
        if isinstance(one, keras.layers.LayerNormalization)
        else None
        for one in last
    ]


def name_maps(maps: Sequence[Any], norms: Sequence[Normalisation | None]) -> dict[str, Any]:
    """Return tensors of maps by their names, with the slopes of normalisations behind them.

    Args:
        maps: of a batch, each (n, height, width, channels).
        norms: for each map, how its averages are normalised.
    """
    parts = {map_name(number): one for number, one in enumerate(maps)}
    for number, norm in enumerate(norms):
        if norm is not None:
            parts[slope_name(number)] = _slope(maps[number], norm)
    return parts


def _slope(values: Any, norm: Normalisation) -> Any:
    """Return what a layer normalisation multiplies each average of a map by: (n, channels)."""
    import tensorflow as tf

    _, variance = tf.nn.moments(tf.reduce_mean(values, axis=(1, 2)), axes=[1], keepdims=True)
    return tf.math.rsqrt(variance + norm.epsilon) * norm.gamma


def head_parts(head: Any) -> dict[str, Any]:
    """Return the weights of a head by their names: arrays, and large ones as `tf.Variable`s.

    Args:
        head: a `keras.Model`: a normalisation or none, at most one hidden layer, a softmax.
    """
    import keras

    parts: dict[str, Any] = {}
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    for layer, names in zip(reversed(dense), reversed(_DENSE), strict=False):
        parts.update(zip(names, map(_value, (layer.kernel, layer.bias)), strict=True))
    for layer in head.layers:
        if isinstance(layer, keras.layers.Normalization):
            factor = 1 / np.sqrt(np.asarray(layer.variance, np.float64))
            shift = -np.asarray(layer.mean, np.float64) * factor
            parts |= {FACTOR: np.float32(factor), SHIFT: np.float32(shift)}
    return parts


def _value(variable: Any) -> Any:
    """Return the value of a Keras variable as `trace` has it in a graph."""
    large = variable.value.shape.num_elements() >= SMALL
    return variable.value if large else np.asarray(variable.value)


def name_parts(network: Any) -> list[MapInfo]:
    """Give names to the parts of an `openvino.Model` that heatmaps are made of.

    Args:
        network: from pixels to probabilities: a backbone whose features are averages of maps, and
            a head of dense layers.

    Returns:
        The maps, in the order of the features.

    Raises:
        NoHeatmaps: the model is built in another way.
    """
    features = _name_head(network.output(PROBABILITIES).get_node().input_value(0))
    _name(features, FEATURES)
    node = features.get_node()
    pooled = node.input_values() if node.get_type_name() == "Concat" else [features]
    return [_name_map(one, number) for number, one in enumerate(pooled)]


def _map_of(feature: Any) -> Any:
    """Return the tensor that is pooled to a feature, whatever lies between them."""
    tensor = feature
    while len(tensor.shape) != 4 or math.prod(tensor.shape[1:3]) == 1:  # noqa: PLR2004 - a map
        (tensor,) = node_of(operation_of(tensor)).input_tensors
    return tensor


def _name_head(probabilities: Any) -> Any:
    """Name the constants of a head, from its output on back, and return the features.

    The constants of a normalisation come first: a factor, and what is added then.
    """
    node = _expected(probabilities, "Softmax")
    vectors, kernels = [BIAS, HIDDEN_BIAS], [KERNEL, HIDDEN_KERNEL]
    following = node.input_value(0)
    while kernels:
        following = _skip(following, "Add", vectors.pop(0))
        following = _skip(following, "MatMul", kernels.pop(0), needed=True)
        if following.get_node().get_type_name() != "Relu":
            break
        following = following.get_node().input_value(0)
    following = _skip(following, "Add", SHIFT)
    return _skip(following, "Multiply", FACTOR)


def _skip(output: Any, kind: str, name: str, *, needed: bool = False) -> Any:
    """Name the constant of an operation, and return its other operand.

    If it is not an operation of that kind on a constant, the output itself is returned.
    """
    node = output.get_node()
    operands = node.input_values()
    constants = [one for one in operands if one.get_node().get_type_name() == "Constant"]
    if node.get_type_name() == kind and len(constants) == 1:
        _name(constants[0], name)
        (other,) = (one for one in operands if one is not constants[0])
        return other
    if needed:
        raise NoHeatmaps(f"Expected a {kind} with a constant. Received: {node.get_type_name()}")
    return output


def _name_map(pooled: Any, number: int) -> MapInfo:
    """Name the map that a tap pools, and the factor of a normalisation behind it."""
    node = pooled.get_node()
    if node.get_type_name() == "Add":  # average * slope + the rest of a normalisation
        product = _expected(node.input_value(0), "Multiply")
        average, slope = sorted(product.input_values(), key=_is_average, reverse=True)
        _name(slope, slope_name(number))
        node = average.get_node()
    while node.get_type_name() == "ReduceMean":
        values, axes = node.input_value(0), node.input_value(1)
        shape = [int(one.get_length()) for one in list(values.get_partial_shape())[1:]]
        spatial = [int(axis) - 1 for axis in axes.get_node().get_data()]
        height, width = (shape[axis] for axis in spatial)
        if height * width > 1:
            _name(values, map_name(number))
            (channels,) = (shape[axis] for axis in range(3) if axis not in spatial)
            return MapInfo(channels=channels, height=height, width=width)
        node = values.get_node()
    raise NoHeatmaps(f"Expected features that are averages. Received: {node.get_type_name()}")


def _is_average(output: Any) -> bool:
    return bool(output.get_node().get_type_name() == "ReduceMean")


def _expected(output: Any, kind: str) -> Any:
    node = output.get_node()
    if node.get_type_name() != kind:
        raise NoHeatmaps(f"Expected: {kind}. Received: {node.get_type_name()}")
    return node


def _name(output: Any, name: str) -> None:
    output.get_tensor().add_names({name})
