"""Divides a backbone at a layer into a body, which stays as it is, and a tail to be trained."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer_service.backbones.cut_table import PIXELS, Cut
from trainer_service.backbones.keras_graph import (
    JOINT,
    features_of,
    inputs_of,
    network_of,
    node_of,
    operation_of,
)

#: A cut may have this many times the numbers of the narrowest layer before it. A wider one takes
#: more room on disk than it saves in computing.
_WIDEST = 2
#: Of two cuts, the narrower one is better if it leaves this share of the other's multiply-adds.
_AS_MUCH = 0.96

#: Layers that cost next to nothing. A layer that one of them follows does not end a block, unless
#: it joins paths.
_CHEAP = ("BatchNormalization", "ReLU", "Activation", "ZeroPadding2D", "MaxPooling2D")

#: How the names begin that Keras makes up; they depend on what the process has built before.
_MADE_UP = ("activation", "add", "batch_norm", "conv2d", "max_pooling", "multiply", "re_lu")


@dataclass(frozen=True, slots=True)
class Divided:
    """A backbone in two parts, which share its layers: to train the tail is to train the backbone.

    A row is what the tail needs of an image: the activations at the cut, flattened, and behind them
    the features of the taps before the cut.

    Attributes:
        backbone: uint8 pixels of shape (n, height, width, 3) to features.
        body: the same pixels to rows, (n, width); None if the cut is at the pixels.
        tail: rows to the features of the backbone, both float32.
    """

    backbone: Any
    body: Any
    tail: Any


def divide(backbone: Any, cut: str) -> Divided:
    """Divide a backbone; only the tail stays trainable, and of that not the normalisations.

    A normalisation keeps the averages, scales and shifts that it was trained with. `training=False`
    in a call is not enough: Keras' `fit` overrides it for a model within a model.

    Args:
        backbone: a `keras.Model` of `build_backbone`, which is changed; not a cached one.
        cut: the name of a layer through which every path to the output leads, or `PIXELS`.

    Raises:
        ValueError: the network has no such layer, a path leads past it, or none lies behind it.
    """
    network = network_of(backbone)
    if cut == PIXELS:
        _keep_normalisations(network.layers)
        return Divided(backbone, None, _whole(backbone))
    if cut not in separating_layers(backbone)[:-1]:
        raise ValueError(
            f"Expected a layer of {backbone.name} through which every path to its last one leads. "
            f"Received: {cut!r}"
        )
    layer = network.get_layer(cut)
    behind = _behind(network, layer)
    for other in network.layers:
        other.trainable = id(other) in behind
    _keep_normalisations(network.layers)
    features = features_of(network)
    early = [one for one in features if id(operation_of(one)) not in behind]
    late = features[len(early) :]
    return Divided(
        backbone, _body(backbone, network, [layer.output, *early]), _tail(layer.output, early, late)
    )


def separating_layers(backbone: Any) -> list[str]:
    """Return the names of the layers through which every path to the output leads, early to late.

    Of several taps, the output is the last; the others are features of their own, not ways to it.
    """
    return [operation.name for operation in _separating(network_of(backbone))]


def _separating(network: Any) -> list[Any]:
    """Return the operations that dominate the output.

    An operation is dominated by itself, and by all that dominate each of its inputs.
    """
    dominators: dict[int, frozenset[int]] = {}
    for operation in network.operations:
        inputs = [dominators[id(one)] for one in inputs_of(operation)]
        shared = frozenset.intersection(*inputs) if inputs else frozenset()
        dominators[id(operation)] = shared | {id(operation)}
    separating = dominators[id(operation_of(features_of(network)[-1]))]
    return [operation for operation in network.operations if id(operation) in separating]


def find_cuts(backbone: Any) -> tuple[Cut, ...]:
    """Return the cuts of a backbone that are worth offering, early to late.

    They are the pixels, and the separating layers that have a lasting name and something to train
    behind them. Left out are cuts that are too wide, cuts right before a layer of next to no cost,
    and cuts for which there is a narrower one with as much to train.
    """
    network = network_of(backbone)
    cuts = [Cut(PIXELS, tuple(backbone.input_shape[1:]), _multiply_adds(network.operations))]
    narrowest = cuts[0].numbers
    separating = _separating(network)
    for operation, following in pairwise(separating[1:]):
        behind = _behind(network, operation)
        rest = _multiply_adds(one for one in network.operations if id(one) in behind)
        cut = Cut(operation.name, tuple(operation.output.shape[1:]), rest)
        same = cuts[-1].multiply_adds == rest and cuts[-1].numbers <= cut.numbers
        fits = cut.numbers <= _WIDEST * narrowest
        if fits and rest and not same and _may_end(operation, following):
            cuts.append(cut)
        narrowest = min(narrowest, cut.numbers)
    return cuts[0], *(cut for cut in cuts[1:] if not any(_outdoes(one, cut) for one in cuts))


def _may_end(operation: Any, following: Any) -> bool:
    """Return whether a body may end with an operation: a named one, and the last of its block."""
    in_block = type(following).__name__ in _CHEAP and len(inputs_of(operation)) == 1
    return not in_block and not operation.name.startswith(_MADE_UP)


def _outdoes(cut: Cut, other: Cut) -> bool:
    return cut.numbers < other.numbers and (
        _AS_MUCH * other.multiply_adds <= cut.multiply_adds <= other.multiply_adds
    )


def _body(backbone: Any, network: Any, parts: list[Any]) -> Any:
    """Return the model from pixels to rows."""
    import keras

    flat = [keras.layers.Flatten(name="activations")(parts[0]), *parts[1:]]
    rows = keras.layers.Concatenate(name="rows")(flat) if len(flat) > 1 else flat[0]
    inner = keras.Model(network.input, rows, name=network.name)
    (normalised,) = node_of(network).input_tensors
    return keras.Model(backbone.input, inner(normalised), name=f"{backbone.name}_body")


def _tail(activations: Any, early: list[Any], late: list[Any]) -> Any:
    """Return the model from rows to features.

    Args:
        activations: the tensor at the cut.
        early: the features of the taps before it.
        late: those of the taps behind it.
    """
    import keras

    inner = keras.Model(activations, late, name="layers")
    shape = tuple(activations.shape[1:])
    numbers = math.prod(shape)
    rows = keras.Input((numbers + sum(one.shape[-1] for one in early),), name="rows")
    parts = inner(keras.layers.Reshape(shape, name="activations")(rows[:, :numbers]))
    features = [rows[:, numbers:], *parts] if early else parts
    joined = keras.layers.Concatenate(name=JOINT)(features) if len(features) > 1 else features[0]
    return keras.Model(rows, joined, name="tail")


def _whole(backbone: Any) -> Any:
    """Return the tail that is all of the backbone; its rows are the pixels."""
    import keras

    shape = tuple(backbone.input_shape[1:])
    rows = keras.Input((math.prod(shape),), name="rows")
    pixels = keras.layers.Reshape(shape, name="activations")(keras.ops.cast(rows, "uint8"))
    return keras.Model(rows, backbone(pixels), name="tail")


def _behind(network: Any, layer: Any) -> set[int]:
    """Return the ids of the operations that depend on a layer's output."""
    found: set[int] = set()
    for operation in network.operations:
        inputs = inputs_of(operation)
        if any(one is layer or id(one) in found for one in inputs):
            found.add(id(operation))
    return found


def _keep_normalisations(layers: Iterable[Any]) -> None:
    import keras

    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def _multiply_adds(layers: Iterable[Any]) -> int:
    """Count the multiply-adds of layers with a kernel, applied once at each output position."""
    count = 0
    for layer in layers:
        if hasattr(layer, "layers"):
            count += _multiply_adds(layer.layers)
        elif hasattr(layer, "kernel"):
            count += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
    return count
