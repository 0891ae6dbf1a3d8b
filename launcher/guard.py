"""`python guard.py`: ends the services of a launcher that was killed.

On stdin the launcher names the process groups that it has started, as `+<id>`, and those that it
has ended, as `-<id>`. However the launcher itself ends, stdin does too, and what it has left is
told to end, and made to if it doesn't.
"""

import os
import signal
import sys
import time
from contextlib import suppress

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.05


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    _end(groups)


def _end(groups: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = _sent(groups, signal.SIGTERM)
    while left and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        left = _sent(left, 0)
    _sent(left, signal.SIGKILL)


def _sent(groups: set[int], number: int) -> set[int]:
    """Send a signal to groups, and return those in which there is somebody to get it."""
    found = set()
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
            found.add(group)
    return found


if __name__ == "__main__":
    main()
