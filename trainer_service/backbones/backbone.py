"""Backbones: pre-trained networks from pixels to bottleneck features."""

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.engines import (
    FEATURES,
    Engine,
    EngineName,
    OpenVINOEngine,
    Precision,
    TensorFlowEngine,
    can_use_gpu,
    cpu_precision,
    select_engine,
)
from shared.engines.openvino_runtime import load_openvino
from shared.engines.tensorflow_engine import load_tensorflow
from shared.files import full_disk_named, is_of_the_machine, sha256_file, sync_tree
from shared.logs import get_logger
from shared.settings import EngineChoice, PrecisionChoice
from trainer_service.backbones.architectures import (
    OUTPUT,
    PREPROCESSING_VERSION,
    Architecture,
    Preprocessing,
)
from trainer_service.backbones.heat_parts import with_maps, without_followers
from trainer_service.backbones.keras_graph import JOINT
from trainer_service.backbones.tracing import trace
from trainer_service.backbones.weights import Weights
from trainer_service.errors import WeightsUnavailable
from trainer_service.requests.training import TapSet
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.files.work_in_progress import STAGING, working_directory

_POLICY_LOCK = threading.Lock()
_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
_IR_FILE = "model.xml"
#: The SHA-256 of each file of a converted backbone, written with them.
_HASHES_FILE = "sha256.json"

_hashes = TypeAdapter(dict[str, str])

log = get_logger(__name__)


def build_backbone(
    architecture: Architecture,
    weights: Weights | None,
    taps: TapSet = "last",
    *,
    dtype_policy: str = "float32",
) -> Any:
    """Build a backbone with its normalisation inside.

    Args:
        architecture: a row of the catalogue.
        weights: its pre-trained weights; None leaves them random.
        taps: which layers the features are taken from.
        dtype_policy: the Keras policy that says what to compute in; variables are always float32.

    Returns:
        A `keras.Model`: uint8 RGB of shape (n, height, width, 3) to features of shape
        (n, architecture.feature_size_of(taps)): the global averages of each layer's output, early
        to late, in the policy's compute dtype.

    Raises:
        WeightsUnavailable: the weights file is damaged or of another architecture.
    """
    load_tensorflow()
    import keras

    size = architecture.input_size
    with _policy(dtype_policy):
        network = _build_network(architecture)
        if weights is not None:
            load_weights(network, architecture, weights)
        pixels = keras.Input((size, size, 3), dtype="uint8", name="pixels")
        tapped = _tapped(network, architecture.taps_of(taps))
        features = tapped(normalised(pixels, architecture.preprocessing))
        return keras.Model(pixels, features, name=architecture.id)


@lru_cache(maxsize=2)
def cached_backbone(architecture: Architecture, weights: Weights, taps: TapSet = "last") -> Any:
    """Return the float32 backbone, built once in this process; it must not be trained."""
    return build_backbone(architecture, weights, taps)


@lru_cache(maxsize=2)
def cached_graph(architecture: Architecture, weights: Weights, taps: TapSet = "last") -> Any:
    """Return the TensorFlow graph of `cached_backbone` from pixels to its features and its maps.

    It is traced once in this process.
    """
    backbone = cached_backbone(architecture, weights, taps)
    with without_followers(backbone):
        return trace(with_maps(backbone), "pixels")


@lru_cache(maxsize=2)
def bottleneck_engine(  # noqa: PLR0913, PLR0917 - together they are the key of the cache
    architecture: Architecture,
    weights: Weights,
    choice: EngineChoice,
    precision: Precision,
    cache_directory: Path,
    threads: int = 0,
    taps: TapSet = "last",
) -> Engine:
    """Return the engine that computes bottleneck features, made once in this process.

    Args:
        architecture: a row of the catalogue.
        weights: its pre-trained weights.
        choice: the setting `engine`.
        precision: what to compute in; if this machine is not fast at it, float32 is used instead.
        cache_directory: where converted backbones are kept between processes.
        threads: CPU threads; 0 means all cores.
        taps: which layers the features are taken from.
    """
    if select_engine(choice) == "openvino":
        model = backbone_ir(architecture, weights, cache_directory, threads, taps)
        native: Precision = precision if precision == cpu_precision() else "f32"
        return OpenVINOEngine(
            model, outputs=(FEATURES,), precision=native, threads=threads, hint="throughput"
        )
    load_tensorflow(threads)
    if precision == "mixed" and can_use_gpu():
        half = build_backbone(architecture, weights, taps, dtype_policy="mixed_float16")
        return TensorFlowEngine.from_keras(half, FEATURES, precision="mixed")
    return TensorFlowEngine.from_keras(cached_backbone(architecture, weights, taps), FEATURES)


def bottleneck_precision(engine: EngineName, choice: PrecisionChoice = "auto") -> Precision:
    """Return the precision that this machine computes bottleneck features in by default.

    Args:
        engine: the engine that computes them.
        choice: the setting `precision`.
    """
    if choice == "f32":
        return "f32"
    if engine == "openvino":
        return cpu_precision()
    return "mixed" if can_use_gpu() else "f32"


def backbone_ir(
    architecture: Architecture,
    weights: Weights,
    cache_directory: Path,
    threads: int = 0,
    taps: TapSet = "last",
) -> Path:
    """Return the file of the backbone as an OpenVINO model, which is converted if it is missing.

    The model takes uint8 pixels of shape (n, height, width, 3) and returns float32 features; its
    weights are float32. A model whose files have changed is removed and converted again. TensorFlow
    is imported only for the conversion.
    """
    target = cache_directory / f"{architecture.id}-{_ir_digest(architecture, weights, taps)}"
    if not _is_sound(target):
        _remove_damaged(target)
        with working_directory(cache_directory / f"{STAGING}{secrets.token_hex(6)}") as staging:
            load_tensorflow(threads)
            model = convert(cached_backbone(architecture, weights, taps))
            save_ir(model, staging / _IR_FILE)
            (staging / _HASHES_FILE).write_bytes(_hashes.dump_json(_hash_files(staging)))
            sync_tree(staging)
            _move(staging, target)
    return target / _IR_FILE


def convert(model: Any, check: Callable[[], None] = lambda: None) -> Any:
    """Convert a `keras.Model` of one input to an `openvino.Model` of dynamic batch size.

    Args:
        model: the model.
        check: called in between; what it raises ends the conversion.
    """
    graph = trace(model)
    check()
    return convert_graph(graph)


def convert_graph(graph: Any) -> Any:
    """Convert a graph of `trace` to an `openvino.Model` with the same outputs.

    OpenVINO also makes an output of each activation with its own gradient, such as swish.
    EfficientNetV2B0 has 60 of them, which would all be computed and copied for nothing.
    """
    openvino = load_openvino()
    network = openvino.convert_model(graph)
    names = {output.name for output in graph.outputs}
    results = [result for result in network.results if result.output(0).get_names() & names]
    return openvino.Model(results, network.get_parameters(), network.friendly_name)


def save_ir(model: Any, path: Path) -> None:
    """Write an `openvino.Model` as `path` (XML) and its weights beside it, in float32."""
    # OpenVINO removes what did not fit before it raises.
    with full_disk_named(path.parent, _bytes_of_weights(model)):
        load_openvino().save_model(model, path, compress_to_fp16=False)


def _bytes_of_weights(model: Any) -> int:
    constants = (node for node in model.get_ops() if node.get_type_name() == "Constant")
    return sum(constant.get_byte_size() for constant in constants)


def feature_space(
    architecture: Architecture, weights: Weights, precision: Precision, taps: TapSet = "last"
) -> str:
    """Return the key of a backbone; all trainings with the same key can share features.

    Args:
        architecture: a row of the catalogue.
        weights: its pre-trained weights.
        precision: what the features are computed in.
        taps: which layers the features are taken from.
    """
    return (
        architecture.id
        + "-"
        + _digest(
            architecture=architecture.id,
            weights=weights.sha256,
            preprocessing=PREPROCESSING_VERSION,
            precision=precision,
            **_taps_in_key(architecture, taps),
        )
    )


def view_space(architecture: Architecture, space: str, views: Mapping[str, object]) -> str:
    """Return the key of the features of views.

    Args:
        architecture: a row of the catalogue.
        space: the key of the features of the images themselves.
        views: what the views depend on, but for the image and their number.
    """
    return f"{architecture.id}-views-{_digest(images=space, views=views)}"


def _ir_digest(architecture: Architecture, weights: Weights, taps: TapSet) -> str:
    return _digest(
        architecture=architecture.id,
        weights=weights.sha256,
        preprocessing=PREPROCESSING_VERSION,
        outputs=1,
        keras=version("keras"),
        openvino=version("openvino"),
        **_taps_in_key(architecture, taps),
    )


def _taps_in_key(architecture: Architecture, taps: TapSet) -> dict[str, object]:
    """Return the part of a key that names a tap set.

    It is empty for "last", so that keys from before there were taps remain valid.
    """
    return {} if taps == "last" else {"taps": architecture.taps_of(taps)}


def _digest(**parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _is_sound(target: Path) -> bool:
    """Return whether there is a converted backbone whose files are as they were written."""
    try:
        written = _hashes.validate_json((target / _HASHES_FILE).read_bytes())
        return _IR_FILE in written and written == _hash_files(target)
    except (OSError, ValidationError):
        return False


def _hash_files(directory: Path) -> dict[str, str]:
    files = (directory / _IR_FILE, (directory / _IR_FILE).with_suffix(".bin"))
    return {file.name: sha256_file(file) for file in files}


def _remove_damaged(target: Path) -> None:
    removed = target.with_name(f"{STAGING}{secrets.token_hex(6)}")
    with suppress(FileNotFoundError):
        target.rename(removed)
        log.warning("a damaged backbone is converted again", path=str(target))
        with suppress(OSError):
            remove_tree(removed)


def _move(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        # Another worker converted the same backbone meanwhile; its result is the same.
        if not _is_sound(target):
            raise


@contextmanager
def _policy(name: str) -> Iterator[None]:
    """Set the dtype policy for layers that the body builds; Keras has one for the whole process."""
    import keras

    with _POLICY_LOCK:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(name)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


def _build_network(architecture: Architecture) -> Any:
    import keras

    from trainer_service.backbones.efficientnet_lite0 import build_efficientnet_lite0

    if architecture.builder is None:
        network = build_efficientnet_lite0()
    else:
        shape = (architecture.input_size, architecture.input_size, 3)
        builder = getattr(keras.applications, architecture.builder)
        network = builder(weights=None, include_top=False, pooling="avg", input_shape=shape)
    # Keras numbers the names that it makes up, so they differ from one build to the next.
    network.layers[-1].name = OUTPUT
    return network


def _tapped(network: Any, taps: tuple[str, ...]) -> Any:
    """Return a network whose output is the pooled outputs of some of its layers, side by side."""
    import keras

    if taps == (OUTPUT,):
        return network
    pooled = [_pooled(network.get_layer(name).output, name) for name in taps]
    features = keras.layers.Concatenate(name=JOINT)(pooled)
    return keras.Model(network.input, features, name=network.name)


def _pooled(output: Any, name: str) -> Any:
    """Return the averages of an output's channels; those of a pooling layer are averages already.

    Squeeze-and-excite begins with a layer that pools an activation, so its averages cost nothing.
    """
    from keras import layers

    if len(output.shape) == 2:  # noqa: PLR2004 - (n, channels)
        return output
    return layers.GlobalAveragePooling2D(name=f"{name}_pooled")(output)


def load_weights(network: Any, architecture: Architecture, weights: Weights) -> None:
    """Load a file of weights into a network.

    Raises:
        WeightsUnavailable: the file is damaged or of another architecture.
    """
    from trainer_service.backbones.efficientnet_lite0 import load_pth

    try:
        if weights.path.suffix == ".pth":
            load_pth(network, weights.path)
        else:
            network.load_weights(weights.path)
    except Exception as error:  # Keras and h5py raise exceptions of any class.
        if is_of_the_machine(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise WeightsUnavailable(
            f"The weights file {weights.path} is damaged or not of {architecture.id}: {reason}"
        ) from error


def normalised(pixels: Any, preprocessing: Preprocessing) -> Any:
    """Return what a network was trained on, of a tensor of uint8 RGB."""
    from keras import layers, ops

    if preprocessing == "unit_range":
        return layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(pixels)
    if preprocessing == "efficientnet_lite":
        return layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(pixels)
    if preprocessing == "caffe":
        centre = layers.Normalization(mean=_CAFFE_MEAN_RGB, variance=(1, 1, 1), name="normalise")
        return ops.flip(centre(pixels), axis=-1)
    # The network normalises by itself; this only makes the pixels float.
    return layers.Rescaling(1.0, name="normalise")(pixels)
