"""Runs the launcher: `python -m launcher up` and `python -m launcher demo`."""

import sys

from client.interrupts import INTERRUPTED, quiet_interrupts


def main() -> int:
    """Run the command of the command line, and return the exit status."""
    try:
        with quiet_interrupts():
            from launcher.command import run
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
