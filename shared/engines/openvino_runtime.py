"""Imports OpenVINO without its telemetry.

OpenVINO reports each import and conversion through `openvino_telemetry` and falls back to a stub
of its own where that package is missing. A None in `sys.modules` makes it missing.
"""

import sys
from pathlib import Path
from typing import Any

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def load_openvino() -> Any:
    """Import and return `openvino`, which then sends no telemetry and reads no consent file."""
    import openvino

    return openvino


def read_network(path: Path) -> Any:
    """Read an `openvino.Model` and its weights into memory.

    By default OpenVINO maps the file of the weights. A program that overwrites it in place, as `cp`
    does, would then change the answers or end the process with SIGBUS (docs/decisions/0035).
    """
    core = load_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})
    return core.read_model(str(path))
