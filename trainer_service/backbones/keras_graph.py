"""Finds its way through the graph of a backbone of `build_backbone`, a `keras.Model`."""

from typing import Any

#: The layer that joins the features of several taps; its last input is the network's own output.
JOINT = "taps"


def network_of(backbone: Any) -> Any:
    """Return the network within a backbone, which begins behind the normalisation of pixels."""
    import keras

    return next(layer for layer in backbone.layers if isinstance(layer, keras.Model))


def features_of(network: Any) -> list[Any]:
    """Return the tensors that make up the features, early to late."""
    joint = operation_of(network.output)
    return list(node_of(joint).input_tensors) if joint.name == JOINT else [network.output]


def inputs_of(operation: Any) -> list[Any]:
    """Return the operations that an operation takes its input from."""
    return [operation_of(tensor) for tensor in node_of(operation).input_tensors]


def node_of(operation: Any) -> Any:
    """Return the first use of an operation or a network, which is the one in the backbone."""
    return operation._inbound_nodes[0]  # noqa: SLF001 - Keras has no other way


def operation_of(tensor: Any) -> Any:
    """Return what computes a tensor."""
    return tensor._keras_history.operation  # noqa: SLF001 - Keras has no other way
