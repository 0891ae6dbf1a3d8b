"""Networks with their own classifier for ImageNet, divided into a backbone and a head."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones.architectures import OUTPUT, Architecture
from trainer_service.backbones.backbone import load_weights, normalised
from trainer_service.backbones.imagenet import Selection
from trainer_service.backbones.keras_graph import node_of, operation_of
from trainer_service.backbones.weights import Weights

Floats = npt.NDArray[np.float32]


class Pretrained(NamedTuple):
    """A network with its classifier, in two parts as `export_version` takes them.

    Attributes:
        backbone: a `keras.Model` from uint8 RGB, (n, height, width, 3), to what the classifier
            sees, float32 (n, features).
        head: a `keras.Model` from there to the probabilities of the labels, float32 (n, labels).
    """

    backbone: Any
    head: Any

    @property
    def features(self) -> int:
        return int(self.backbone.output_shape[1])


def build_pretrained(
    architecture: Architecture, weights: Weights | None, selection: Selection
) -> Pretrained:
    """Return a network with its own classifier, which answers the selected labels.

    Args:
        architecture: a row of the catalogue.
        weights: its pre-trained weights with the classifier; None leaves them random.
        selection: the labels, and which classes each of them stands for.

    Raises:
        WeightsUnavailable: the weights file is damaged or of another architecture.
    """
    load_tensorflow()
    import keras

    network = build_with_top(architecture)
    if weights is not None:
        load_weights(network, architecture, weights)
    seen, kernel, bias = _classifier_of(network)
    inner = keras.Model(network.input, _flat(seen), name=network.name)
    inner.layers[-1].name = OUTPUT
    size = architecture.input_size
    pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    features = inner(normalised(pixels, architecture.preprocessing))
    backbone = keras.Model(pixels, features, name=architecture.id)
    return Pretrained(backbone, _head(kernel, bias, selection))


def build_with_top(architecture: Architecture) -> Any:
    """Return a network with random weights, as a `keras.Model` from its input to 1,000 logits.

    Its layers are those of Keras' file of weights with the top.
    """
    import keras

    from trainer_service.backbones.efficientnet_lite0 import build_efficientnet_lite0

    if architecture.builder is None:
        return build_efficientnet_lite0(include_top=True)
    builder = getattr(keras.applications, architecture.builder)
    shape = (architecture.input_size, architecture.input_size, 3)
    return builder(weights=None, include_top=True, input_shape=shape, classifier_activation=None)


def _classifier_of(network: Any) -> tuple[Any, Floats, Floats]:
    """Return what the classifier sees, and its kernel, (features, 1000), and bias, (1000,).

    The classifier is the last layer with weights: a dense one, or a convolution of one place, which
    is the same.
    """
    last = next(layer for layer in reversed(network.layers) if layer.weights)
    kernel, bias = (np.asarray(value, np.float32) for value in last.get_weights())
    return _before_dropout(last), kernel.reshape(-1, kernel.shape[-1]), bias


def _before_dropout(layer: Any) -> Any:
    """Return the tensor that a layer sees, without a dropout before it, which only trains."""
    import keras

    (tensor,) = node_of(layer).input_tensors
    before = operation_of(tensor)
    return node_of(before).input_tensors[0] if isinstance(before, keras.layers.Dropout) else tensor


def _flat(tensor: Any) -> Any:
    """Return a tensor of shape (n, 1, 1, features) as (n, features), and others as they are."""
    import keras

    return tensor if len(tensor.shape) == 2 else keras.layers.Flatten()(tensor)  # noqa: PLR2004


def _head(kernel: Floats, bias: Floats, selection: Selection) -> Any:
    """Return a classifier with a softmax that answers the selected labels.

    Without a label for the rest, the softmax is over the selected classes alone: their
    probabilities, divided by their sum.
    """
    import keras

    chosen = [index for group in selection.members for index in group]
    inputs = keras.Input((len(kernel),), name="features")
    logits = keras.layers.Dense(len(chosen), name="classifier")
    x = keras.layers.Softmax(name="softmax")(logits(inputs))
    logits.set_weights([kernel[:, chosen], bias[chosen]])
    if selection.grouped:
        summed = keras.layers.EinsumDense("nc,cl->nl", len(selection.labels), name="labels")
        x = summed(x)
        summed.set_weights([_sums(selection)])
    return keras.Model(inputs, x, name="head")


def _sums(selection: Selection) -> Floats:
    """Return the 0 and 1 that sum up the probabilities of classes, (classes, labels).

    The classes are in the order of the labels' members.
    """
    sizes = [len(group) for group in selection.members]
    return np.repeat(np.eye(len(sizes), dtype=np.float32), sizes, axis=0)
