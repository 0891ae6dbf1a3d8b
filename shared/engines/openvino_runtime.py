"""Imports OpenVINO without its telemetry.

OpenVINO reports each import and conversion through `openvino_telemetry` and falls back to a stub
of its own where that package is missing. A None in `sys.modules` makes it missing.
"""

import sys
from typing import Any

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def load_openvino() -> Any:
    """Import and return `openvino`; nothing is sent anywhere and no consent file is read."""
    import openvino

    return openvino
