"""Makes lines of the log of what libraries in C++ write past Python's loggers."""

import os
import sys
from threading import Thread

from shared.logs import get_logger

log = get_logger(__name__)


def capture_native_output() -> None:
    """Log what this process and its children write to the descriptors 1 and 2 from now on.

    `sys.stderr` goes where it went. Call it before logging is configured.
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
