"""Engines: what runs a network forward, on pixels, without training it."""

from shared.engines.engine import Engine, EngineName, Outputs, Pixels, Precision
from shared.engines.openvino_engine import OpenVINOEngine
from shared.engines.selection import cpu_precision, load_version_engine, select_engine
from shared.engines.tensorflow_engine import TensorFlowEngine

__all__ = [
    "Engine",
    "EngineName",
    "OpenVINOEngine",
    "Outputs",
    "Pixels",
    "Precision",
    "TensorFlowEngine",
    "cpu_precision",
    "load_version_engine",
    "select_engine",
]
