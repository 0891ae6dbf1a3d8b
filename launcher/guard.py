"""Ends the services of a launcher that was killed; runs as a process of its own.

The launcher writes the process groups that it has started to this program's stdin, as `+<id>`, and
those that have ended, as `-<id>`. When the launcher ends, even by SIGKILL, stdin ends too. The
groups that are left then get SIGTERM, and SIGKILL if they do not end in time.
"""

import os
import signal
import sys
import time
from contextlib import suppress

PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.05


def main() -> None:
    """Read process groups from stdin until it ends, then end those that are left."""
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    _end(groups)


def _end(groups: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = _sent(groups, signal.SIGTERM)
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = _sent(left, 0)
    _sent(left, signal.SIGKILL)


def _sent(groups: set[int], number: int) -> set[int]:
    """Send a signal to process groups, and return those that still have a process."""
    found = set()
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
            found.add(group)
    return found


if __name__ == "__main__":
    main()
