"""Writes a trained classifier in each format that a version has."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared.engines import EMBEDDING, FEATURES, PROBABILITIES
from shared.engines.explaining import EXPLAIN, EXPLAIN_HEAD
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.logs import get_logger
from shared.models.manifest import HeatmapInfo
from shared.models.model_store import KERAS_MODEL, OPENVINO_MODEL, SAVED_MODEL
from trainer_service.backbones.backbone import convert, convert_graph, save_ir
from trainer_service.backbones.heat_parts import (
    NoHeatmaps,
    Normalisation,
    head_parts,
    name_maps,
    name_parts,
    normalisations,
    with_maps,
    without_followers,
)
from trainer_service.backbones.keras_file import save_keras
from trainer_service.backbones.tracing import trace

log = get_logger(__name__)

#: In this order the graphs give them.
_OUTPUTS = (PROBABILITIES, EMBEDDING)
#: The end of an axis of any length, as OpenVINO has it.
_END = 2**63 - 1


class Converted(NamedTuple):
    """A backbone that was converted before.

    Attributes:
        ir: its file as an OpenVINO model.
        graph: its TensorFlow graph from pixels to features and maps, as `trace` gives it.
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
) -> HeatmapInfo | None:
    """Write backbone and head as one network, in three formats.

    - `saved_model.pb`, `variables/`: for TensorFlow Serving. The signature `serving_default` takes
      `image_bytes`, encoded JPEG, PNG, GIF, BMP or WebP images, string of shape (n,); the signature
      `pixels` takes `pixels`, uint8 of shape (n, height, width, 3). Both give `probabilities`,
      float32 of shape (n, k), the latter also `embedding`, float32 of shape (n, embedding_size).
      The graph resizes like `shared.images.decoding` but does not see the EXIF orientation.
      Two more signatures give what heatmaps are made of.
    - `openvino/`: takes pixels and returns both, for any n; its weights are float32.
    - `model.keras`: from pixels to probabilities; it can be trained further.

    Args:
        backbone: a `keras.Model` from pixels to features, float32.
        head: a `keras.Model` from features to probabilities, float32.
        directory: an existing directory.
        embedding_size: how many features, the last ones, are the embedding.
        converted: the same backbone, which is then neither converted nor traced again. Its weights
            never change.

    Returns:
        What heatmaps are made of; None if the network is built in a way that allows none.

    Raises:
        ValueError: the head takes another number of features than the backbone gives.
    """
    _check_width(head.input_shape[1], backbone.output_shape[1])
    grafted = None
    # A cached backbone would keep every head that was trained on it in memory.
    with without_followers(backbone):
        save_keras(backbone, head, directory / KERAS_MODEL, stays=converted is not None)
        if converted is None:
            graphs = [trace(_explained(backbone, head, embedding_size), "pixels")]
            network = graphs[0]
        else:
            grafted = _graft(converted.ir, convert(head), embedding_size)
            graphs = [converted.graph, trace(head, "features")]
            network = _chained(*graphs, embedding_size=embedding_size)
        classify = _export_saved_model(backbone, head, network, graphs, directory / SAVED_MODEL)
    names = [output.name for output in classify.outputs]
    openvino = grafted or _named(convert_graph(classify), names)
    return _export_openvino(openvino, directory / OPENVINO_MODEL)


def _explained(backbone: Any, head: Any, embedding_size: int) -> Any:
    """Return both as one `keras.Model` that gives all that is computed for heatmaps.

    Its outputs are the probabilities, the embedding, the features and the maps.
    """
    import keras

    features, *maps = with_maps(backbone).outputs
    outputs = [head(features), features[:, -embedding_size:], features, *maps]
    return keras.Model(backbone.input, outputs, name=backbone.name)


def _chained(backbone: Any, head: Any, *, embedding_size: int) -> Callable[[Any], list[Any]]:
    """Return the graphs of a backbone and of a head as one network, as `_explained` is."""

    def network(pixels: Any) -> list[Any]:
        features, *maps = backbone(pixels)
        return [head(features), features[:, -embedding_size:], features, *maps]

    return network


def _export_saved_model(
    backbone: Any,
    head: Any,
    network: Callable[[Any], Any],
    graphs: Sequence[Any],
    directory: Path,
) -> Any:
    """Write a SavedModel that can be loaded without Keras.

    Args:
        backbone: the backbone.
        head: the head.
        network: from pixels to probabilities, embedding, features and maps; all signatures call it.
        graphs: the graphs, as `trace` gives them, that it calls.
        directory: where to.

    Returns:
        The graph from pixels to probabilities and embedding.
    """
    import tensorflow as tf

    height, width = backbone.input_shape[1:3]
    images = tf.TensorSpec((None, height, width, 3), tf.uint8, "pixels")
    files = tf.TensorSpec((None,), tf.string, "image_bytes")
    classify = _traced(lambda pixels: network(pixels)[: len(_OUTPUTS)], images)
    signatures = {
        "serving_default": _traced(_of_files(classify, height, width), files),
        "pixels": _traced(_of_pixels(classify), images),
        EXPLAIN: _traced(_parts_of(network, normalisations(backbone)), images),
        EXPLAIN_HEAD: _traced(_constants(head_parts(head))),
    }
    module = tf.Module()
    module.weights = [variable for graph in graphs for variable in graph.variables]
    tf.saved_model.save(module, str(directory), signatures=signatures)
    return classify


def _of_pixels(classify: Any) -> Callable[[Any], Any]:
    """Return a function from pixels to the outputs of a graph, by their names."""

    def outputs(pixels: Any) -> Any:
        return dict(zip(_OUTPUTS, classify(pixels), strict=True))

    return outputs


def _of_files(classify: Any, height: int, width: int) -> Callable[[Any], Any]:
    """Return a function from the bytes of images to their probabilities.

    Of several outputs, TensorFlow Serving gives each its name, which clients don't expect.
    """
    import tensorflow as tf

    def probabilities(image_bytes: Any) -> Any:
        pixels = tf.map_fn(
            lambda data: _decode(data, height, width),
            image_bytes,
            fn_output_signature=tf.TensorSpec((height, width, 3), tf.uint8),
        )
        return {PROBABILITIES: classify(pixels)[0]}

    return probabilities


def _parts_of(
    network: Callable[[Any], Any], norms: Sequence[Normalisation | None]
) -> Callable[[Any], Any]:
    """Return a function from pixels to all that heatmaps are made of, by name."""

    def parts(pixels: Any) -> Any:
        probabilities, embedding, features, *maps = network(pixels)
        named = {PROBABILITIES: probabilities, EMBEDDING: embedding, FEATURES: features}
        return named | name_maps(maps, norms)

    return parts


def _constants(weights: Mapping[str, Any]) -> Callable[[], Any]:
    """Return a function that gives weights by their names."""
    import tensorflow as tf

    return lambda: {name: tf.identity(one) for name, one in weights.items()}


def _traced(function: Callable[..., Any], *specs: Any) -> Any:
    import tensorflow as tf

    return tf.function(function, autograph=False).get_concrete_function(*specs)


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


def _export_openvino(network: Any, path: Path) -> HeatmapInfo | None:
    network.input(0).get_tensor().set_names({"pixels"})
    try:
        heatmaps = HeatmapInfo(maps=name_parts(network))
    except NoHeatmaps as error:
        log.warning("the version will show no heatmaps", reason=str(error))
        heatmaps = None
    path.parent.mkdir(exist_ok=True)
    save_ir(network, path)
    return heatmaps
