"""Turns what C++ libraries write directly to the standard streams into lines of the log."""

import os
import sys
from threading import Thread

from shared.logs import get_logger

log = get_logger(__name__)


def capture_native_output() -> None:
    """Log what this process and its children write to descriptors 1 and 2 from now on.

    `sys.stderr` still leads to the original standard error, so call this before logging is
    configured.
    """
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    reading, writing = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writing, descriptor)
    os.close(writing)
    Thread(target=_log_lines, args=(reading,), name="native output", daemon=True).start()


def _log_lines(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if text := line.strip():
                log.info(text)
