"""Writes a trained classifier in each format that a version has."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shared.engines import EMBEDDING, PROBABILITIES
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.model_store import KERAS_MODEL, OPENVINO_MODEL, SAVED_MODEL
from trainer_service.backbones.backbone import convert, convert_graph, save_ir
from trainer_service.backbones.tracing import trace

#: In this order the graphs give them.
_OUTPUTS = (PROBABILITIES, EMBEDDING)
#: The end of an axis of any length, as OpenVINO has it.
_END = 2**63 - 1


class Converted(NamedTuple):
    """A backbone that was converted before.

    Attributes:
        ir: its file as an OpenVINO model.
        graph: its TensorFlow graph from pixels, as `trace` gives it.
    """

    ir: Path
    graph: Any


def export_version(
    backbone: Any,
    head: Any,
    directory: Path,
    *,
    embedding_size: int,
    converted: Converted | None = None,
) -> None:
    """Write backbone and head as one network, in three formats.

    - `saved_model.pb`, `variables/`: for TensorFlow Serving. The signature `serving_default` takes
      `image_bytes`, encoded JPEG, PNG, GIF, BMP or WebP images, string of shape (n,); the signature
      `pixels` takes `pixels`, uint8 of shape (n, height, width, 3). Both give `probabilities`,
      float32 of shape (n, k), and `embedding`, float32 of shape (n, embedding_size). The graph
      resizes like `shared.images.decoding` but does not see the EXIF orientation.
    - `openvino/`: takes pixels and returns the same two, for any n; its weights are float32.
    - `model.keras`: from pixels to probabilities; it can be trained further.

    Args:
        backbone: a `keras.Model` from pixels to features, float32.
        head: a `keras.Model` from features to probabilities, float32.
        directory: an existing directory.
        embedding_size: how many features, the last ones, are the embedding.
        converted: the same backbone, which is then neither converted nor traced again.

    Raises:
        ValueError: the head takes another number of features than the backbone gives.
    """
    _check_width(head.input_shape[1], backbone.output_shape[1])
    with _joined(backbone, head, embedding_size) as (model, served):
        model.save(directory / KERAS_MODEL)
        if converted is None:
            graph = trace(served, "pixels")
            network = _named(convert_graph(graph), [output.name for output in graph.outputs])
            _export_saved_model(graph, [graph], backbone.input_shape, directory / SAVED_MODEL)
        else:
            parts = [converted.graph, trace(head, "features")]
            network = _graft(converted.ir, convert(head), embedding_size)
            chained = _chained(*parts, embedding_size=embedding_size)
            _export_saved_model(chained, parts, backbone.input_shape, directory / SAVED_MODEL)
    _export_openvino(network, directory / OPENVINO_MODEL)


@contextmanager
def _joined(backbone: Any, head: Any, embedding_size: int) -> Iterator[tuple[Any, Any]]:
    """Yield both as one `keras.Model`, and as one that also gives the embedding.

    Afterwards the head is removed from the cached backbone. A Keras layer refers to the layers
    after it. So the backbone would keep every head that was trained on it in memory.
    """
    import keras

    features = backbone.output
    last = features._keras_history.operation  # noqa: SLF001 - Keras has no other way
    followers = last._outbound_nodes  # noqa: SLF001
    known = len(followers)
    try:
        probabilities = head(features)
        model = keras.Model(backbone.input, probabilities, name=backbone.name)
        outputs = [probabilities, features[:, -embedding_size:]]
        yield model, keras.Model(backbone.input, outputs, name=backbone.name)
    finally:
        del followers[known:]


def _chained(backbone: Any, head: Any, *, embedding_size: int) -> Callable[[Any], list[Any]]:
    """Return the graphs of a backbone and of a head as one network with both outputs."""

    def network(pixels: Any) -> list[Any]:
        features = backbone(pixels)
        return [head(features), features[:, -embedding_size:]]

    return network


def _export_saved_model(
    network: Callable[[Any], Any],
    graphs: Sequence[Any],
    input_shape: tuple[int, ...],
    directory: Path,
) -> None:
    """Write a SavedModel that can be loaded without Keras.

    Args:
        network: from pixels to both outputs; both signatures call it.
        graphs: the graphs, as `trace` gives them, that it calls.
        input_shape: that of pixels: (n, height, width, 3).
        directory: where to.
    """
    import tensorflow as tf

    height, width = input_shape[1:3]

    def pixels(pixels: Any) -> Any:
        return dict(zip(_OUTPUTS, network(pixels), strict=True))

    def image_bytes(image_bytes: Any) -> Any:
        spec = tf.TensorSpec((height, width, 3), tf.uint8)
        decoded = tf.map_fn(
            lambda data: _decode(data, height, width), image_bytes, fn_output_signature=spec
        )
        return pixels(decoded)

    module = tf.Module()
    module.weights = [variable for graph in graphs for variable in graph.variables]
    module.pixels = _traced(pixels, tf.TensorSpec((None, height, width, 3), tf.uint8, "pixels"))
    module.image_bytes = _traced(image_bytes, tf.TensorSpec((None,), tf.string, "image_bytes"))
    signatures = {"serving_default": module.image_bytes, "pixels": module.pixels}
    tf.saved_model.save(module, str(directory), signatures=signatures)


def _traced(function: Callable[[Any], Any], spec: Any) -> Any:
    import tensorflow as tf

    return tf.function(function, autograph=False).get_concrete_function(spec)


def _decode(data: Any, height: int, width: int) -> Any:
    """Decode and resize one image in the graph, like `shared.images.decoding.decode`."""
    import tensorflow as tf

    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)


def _check_width(taken: int, given: int) -> None:
    if taken != given:
        raise ValueError(
            f"Expected a head on the backbone's {given} features. Received: a head on {taken}."
        )


def _graft(backbone_ir: Path, head: Any, embedding_size: int) -> Any:
    """Return an `openvino.Model` of the backbone with the head on top, and with the embedding.

    Raises:
        ValueError: the head takes another number of features than the backbone gives.
    """
    openvino = load_openvino()
    from openvino import opset13 as ops

    backbone = read_network(backbone_ir)
    features = backbone.output(0).get_node().input_value(0)
    inputs, outputs = (node.get_partial_shape() for node in (head.input(0), features))
    _check_width(inputs[1].get_length(), outputs[1].get_length())
    for target in head.parameters[0].output(0).get_target_inputs():
        target.replace_source_output(features)
    start, stop, step, axis = ([number] for number in (-embedding_size, _END, 1, 1))
    embedding = ops.slice(features, start, stop, step, axis)
    results = [*head.results, ops.result(embedding)]
    network = openvino.Model(results, backbone.parameters, backbone.friendly_name)
    for result, name in zip(results, _OUTPUTS, strict=True):
        result.output(0).get_tensor().set_names({name})
    return network


def _named(network: Any, names: list[str]) -> Any:
    """Return a converted network whose outputs, so far called `names`, have their own names."""
    given = dict(zip(names, _OUTPUTS, strict=True))
    for output in network.outputs:
        (name,) = (given[old] for old in output.get_names() & given.keys())
        output.get_tensor().set_names({name})
    return network


def _export_openvino(network: Any, path: Path) -> None:
    network.input(0).get_tensor().set_names({"pixels"})
    path.parent.mkdir(exist_ok=True)
    save_ir(network, path)
