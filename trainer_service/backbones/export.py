"""Writes a trained classifier in each format that a version has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.engines import PROBABILITIES
from shared.engines.openvino_runtime import load_openvino, read_network
from shared.model_store import KERAS_MODEL, OPENVINO_MODEL, SAVED_MODEL
from trainer_service.backbones.backbone import convert, convert_graph, save_ir
from trainer_service.backbones.tracing import large_variables, trace


def export_version(
    backbone: Any, head: Any, directory: Path, *, backbone_ir: Path | None = None
) -> None:
    """Write backbone and head as one network, in three formats.

    - `saved_model.pb`, `variables/`: for TensorFlow Serving. The signature `serving_default` takes
      `image_bytes`, encoded JPEG, PNG, GIF, BMP or WebP images, string of shape (n,); the signature
      `pixels` takes `pixels`, uint8 of shape (n, height, width, 3). Both give `probabilities`,
      float32 of shape (n, k). The graph resizes like `shared.images` but does not see the EXIF
      orientation.
    - `openvino/`: takes pixels and returns probabilities, for any n; its weights are float32.
    - `model.keras`: the same network, which can be trained further.

    Args:
        backbone: a `keras.Model` from pixels to features, float32.
        head: a `keras.Model` from features to probabilities, float32.
        directory: an existing directory.
        backbone_ir: the file of the same backbone as an OpenVINO model, which is then not converted
            again.

    Raises:
        ValueError: the head takes another number of features than the backbone gives.
    """
    _check_width(head.input_shape[1], backbone.output_shape[1])
    with _joined(backbone, head) as model:
        model.save(directory / KERAS_MODEL)
        graph = _export_saved_model(model, directory / SAVED_MODEL)
    network = convert_graph(graph) if backbone_ir is None else _graft(backbone_ir, convert(head))
    _export_openvino(network, directory / OPENVINO_MODEL)


@contextmanager
def _joined(backbone: Any, head: Any) -> Iterator[Any]:
    """Yield both as one `keras.Model`, and remove the head from the cached backbone afterwards.

    A Keras layer refers to the layers after it. So the backbone would keep every head that was
    trained on it in memory.
    """
    import keras

    last = backbone.output._keras_history.operation  # noqa: SLF001 - Keras has no other way
    followers = last._outbound_nodes  # noqa: SLF001
    known = len(followers)
    try:
        yield keras.Model(backbone.input, head(backbone.output), name=backbone.name)
    finally:
        del followers[known:]


def _export_saved_model(model: Any, directory: Path) -> Any:
    """Write a SavedModel that can be loaded without Keras; return its graph from pixels."""
    import tensorflow as tf

    height, width = model.input_shape[1:3]
    # The backbone is traced once; both signatures call that graph.
    network = trace(model, "pixels")

    def pixels(pixels: Any) -> Any:
        return {PROBABILITIES: network(pixels)}

    def image_bytes(image_bytes: Any) -> Any:
        spec = tf.TensorSpec((height, width, 3), tf.uint8)
        decoded = tf.map_fn(
            lambda data: _decode(data, height, width), image_bytes, fn_output_signature=spec
        )
        return pixels(decoded)

    module = tf.Module()
    module.weights = large_variables(model)
    module.pixels = _traced(pixels, tf.TensorSpec((None, height, width, 3), tf.uint8, "pixels"))
    module.image_bytes = _traced(image_bytes, tf.TensorSpec((None,), tf.string, "image_bytes"))
    signatures = {"serving_default": module.image_bytes, "pixels": module.pixels}
    tf.saved_model.save(module, str(directory), signatures=signatures)
    return network


def _traced(function: Callable[[Any], Any], spec: Any) -> Any:
    import tensorflow as tf

    return tf.function(function, autograph=False).get_concrete_function(spec)


def _decode(data: Any, height: int, width: int) -> Any:
    """Decode and resize one image in the graph, like `shared.images.decode`."""
    import tensorflow as tf

    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)


def _check_width(taken: int, given: int) -> None:
    if taken != given:
        raise ValueError(
            f"Expected a head on the backbone's {given} features. Received: a head on {taken}."
        )


def _graft(backbone_ir: Path, head: Any) -> Any:
    """Return an `openvino.Model` of the backbone with the head on top.

    Raises:
        ValueError: the head takes another number of features than the backbone gives.
    """
    openvino = load_openvino()
    backbone = read_network(backbone_ir)
    features = backbone.output(0).get_node().input_value(0)
    inputs, outputs = (node.get_partial_shape() for node in (head.input(0), features))
    _check_width(inputs[1].get_length(), outputs[1].get_length())
    for target in head.parameters[0].output(0).get_target_inputs():
        target.replace_source_output(features)
    return openvino.Model(head.results, backbone.parameters, backbone.friendly_name)


def _export_openvino(network: Any, path: Path) -> None:
    network.input(0).get_tensor().set_names({"pixels"})
    network.output(0).get_tensor().set_names({PROBABILITIES})
    path.parent.mkdir(exist_ok=True)
    save_ir(network, path)
