"""Chooses the engine for this machine, without importing TensorFlow to find out."""

import os
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from shared.engines.cpu import cpu_precision
from shared.engines.engine import Engine, EngineName
from shared.engines.openvino_engine import OpenVINOEngine
from shared.engines.tensorflow_engine import TensorFlowEngine
from shared.errors import InvalidRequest
from shared.models.manifest import Precision
from shared.models.model_store import OPENVINO_INT8_MODEL, OPENVINO_MODEL, SAVED_MODEL
from shared.settings import EngineChoice, PrecisionChoice

_GPU_FILES = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*")


def select_engine(choice: EngineChoice) -> EngineName:
    """Return the engine to use on this machine.

    Args:
        choice: the setting `engine`. "auto" takes TensorFlow if an NVIDIA GPU is visible and
            TensorFlow's GPU build is installed, else OpenVINO.

    Raises:
        InvalidRequest: the library of the engine is not installed.
    """
    if choice == "auto":
        choice = "tensorflow" if can_use_gpu() else "openvino"
    if find_spec(choice) is None:
        raise InvalidRequest(
            f"`engine` should name an engine whose library is installed; {choice} is not. "
            f"Received: {choice!r}."
        )
    return choice


def serving_precisions(
    engine: EngineName, choice: PrecisionChoice = "auto", *, quantized: bool = False
) -> list[Precision]:
    """Return the precisions that a version can be served in on this machine, the fastest first.

    Args:
        engine: the engine that runs the version.
        choice: the setting `precision`.
        quantized: whether the version has an INT8 graph.
    """
    if engine != "openvino" or choice == "f32":
        return ["f32"]
    native: list[Precision] = ["f32"] if cpu_precision() == "f32" else [cpu_precision(), "f32"]
    return ["int8", *native] if quantized else native


def load_version_engine(
    version_directory: Path, engine: EngineName, precision: Precision, threads: int = 0
) -> Engine:
    """Load a published version, which turns pixels into probabilities.

    Args:
        version_directory: `models/<name>/<version>` of the store.
        engine: the engine that `select_engine` returned.
        precision: one that `serving_precisions` returned.
        threads: CPU threads; 0 means all cores.

    Returns:
        An engine with the output `PROBABILITIES`, float32 of shape (n, labels).
    """
    if engine == "tensorflow":
        return TensorFlowEngine.from_saved_model(version_directory / SAVED_MODEL, threads=threads)
    graph = OPENVINO_INT8_MODEL if precision == "int8" else OPENVINO_MODEL
    return OpenVINOEngine(
        version_directory / graph,
        precision=precision,
        threads=threads,
    )


def can_use_gpu() -> bool:
    """Return whether TensorFlow would find an NVIDIA GPU, without importing it."""
    return has_nvidia_gpu() and _has_gpu_build()


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Return whether the driver shows this process a GPU that it may use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(True for pattern in _GPU_FILES for _ in root.glob(pattern.lstrip("/")))


def _has_gpu_build() -> bool:
    # The CPU build is a distribution of another name (tensorflow-cpu) with the same module.
    try:
        distribution("tensorflow")
    except PackageNotFoundError:
        return False
    return find_spec("tensorflow") is not None
