"""Engines: they run a trained network on pixels, on a CPU or a GPU."""

from shared.engines.cpu import cpu_precision
from shared.engines.engine import (
    EMBEDDING,
    FEATURES,
    PROBABILITIES,
    Engine,
    EngineName,
    Outputs,
    Pixels,
)
from shared.engines.openvino_engine import OpenVINOEngine
from shared.engines.selection import (
    can_use_gpu,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.engines.tensorflow_engine import TensorFlowEngine
from shared.models.manifest import Precision

__all__ = [
    "EMBEDDING",
    "FEATURES",
    "PROBABILITIES",
    "Engine",
    "EngineName",
    "OpenVINOEngine",
    "Outputs",
    "Pixels",
    "Precision",
    "TensorFlowEngine",
    "can_use_gpu",
    "cpu_precision",
    "load_version_engine",
    "select_engine",
    "serving_precisions",
]
