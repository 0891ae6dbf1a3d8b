"""EfficientNet-Lite0 for Keras, with the PyTorch weights of a Python package."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer_service.backbones.legacy_pth import read_state_dict

FEATURES = 1280
_STEM = 32

#: Repeats, kernel size, stride of the first repeat, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3

#: The name of a layer in the state dict, by its name here: first the layers of a block.
_BLOCK_LAYERS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
_OUTER_LAYERS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
    "logits": "_fc",
}


class _Block(NamedTuple):
    """An inverted residual block.

    Attributes:
        kernel: the size of the depthwise kernel.
        stride: its stride.
        channels: the channels of the input.
        expanded: the channels after the expansion.
        filters: the channels of the output.
    """

    kernel: int
    stride: int
    channels: int
    expanded: int
    filters: int


def build_efficientnet_lite0(*, include_top: bool = False) -> Any:
    """Return the network with random weights, as a `keras.Model`.

    The input is float32 of shape (n, 224, 224, 3), normalised to (RGB - 127) / 128. The output is
    float32 of shape (n, 1280), after global average pooling, or with `include_top` the 1000 logits
    of ImageNet.
    """
    import keras

    inputs = keras.Input((224, 224, 3))
    x = _relu(_conv(inputs, "stem", _STEM, kernel=3, stride=2), "stem")
    for index, block in enumerate(_blocks()):
        x = _block(x, f"block{index}", block)
    x = _relu(_conv(x, "head", FEATURES), "head")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if include_top:
        x = keras.layers.Dense(1000, name="logits")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def load_pth(model: Any, path: Path) -> None:
    """Load the weights of a `.pth` state dict into a model of `build_efficientnet_lite0`.

    Raises:
        ValueError: the file is damaged, or is not of this network.
    """
    state = read_state_dict(path)
    for layer in model.layers:
        if not layer.weights:
            continue
        values = [_value(state, name) for name in _state_names(layer)]
        try:
            layer.set_weights(values)
        except ValueError as error:
            raise ValueError(
                f"Its {layer.name} does not fit EfficientNet-Lite0: {error}"
            ) from error


def _blocks() -> Iterator[_Block]:
    channels = _STEM
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            yield _Block(kernel, 1 if repeat else stride, channels, channels * expansion, filters)
            channels = filters


def _block(inputs: Any, name: str, block: _Block) -> Any:
    import keras

    x = inputs
    if block.expanded > block.channels:
        x = _relu(_conv(x, f"{name}_expand", block.expanded), f"{name}_expand")
    x = _relu(_depthwise(x, name, block), f"{name}_depthwise")
    x = _conv(x, f"{name}_project", block.filters)
    if block.stride == 1 and block.channels == block.filters:
        x = keras.layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _conv(x: Any, name: str, filters: int, kernel: int = 1, stride: int = 1) -> Any:
    import keras

    x = keras.layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)


def _depthwise(x: Any, name: str, block: _Block) -> Any:
    import keras

    x = keras.layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_depthwise_bn")(x)


def _relu(x: Any, name: str) -> Any:
    import keras

    return keras.layers.ReLU(6, name=f"{name}_relu")(x)


def _state_names(layer: Any) -> list[str]:
    """Return the names that a layer's weights have in the state dict, in the order of Keras."""
    block, _, rest = layer.name.partition("_")
    if block.startswith("block"):
        prefix = f"_blocks.{block.removeprefix('block')}.{_BLOCK_LAYERS[rest]}"
    else:
        prefix = _OUTER_LAYERS[layer.name]
    if layer.name.endswith("_bn"):
        return [f"{prefix}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    return [f"{prefix}.{part}" for part in ("weight", "bias")[: len(layer.weights)]]


def _value(state: dict[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """Return a tensor with its axes in the order of Keras."""
    if name not in state:
        raise ValueError(f"It lacks {name!r} of EfficientNet-Lite0.")
    value = state[name]
    if value.ndim == 4:  # noqa: PLR2004 - a convolution's kernel
        axes = (2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0)
        return value.transpose(axes)
    return value.T
