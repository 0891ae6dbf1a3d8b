"""Imports OpenVINO without its telemetry."""

import sys
from typing import Any


def load_openvino() -> Any:
    """Import and return `openvino`; nothing is sent anywhere and no consent file is read.

    OpenVINO reports each import and conversion through `openvino_telemetry` and falls back to a
    stub of its own where that package is missing. A None in `sys.modules` makes it missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
