"""Runs the command `headstart`: `python -m client`."""

import errno
import os
import sys

from client.interrupts import quiet_interrupts

#: The exit status of a command that can't print its results.
CANT_PRINT = 1


def main() -> None:
    """Run the command; end with status 1 and a sentence if stdout can't be written to."""
    with quiet_interrupts():
        from client.app import app
    if sys.stdout is None:
        _print_error("stdout is closed, so results can't be printed.")
        sys.exit(CANT_PRINT)
    try:
        try:
            app(prog_name="headstart")
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        _leave_stdout()
        if error.errno != errno.EPIPE:
            _print_error(f"stdout can't be written to: {error.strerror}.")
        sys.exit(CANT_PRINT)


def _print_error(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")


def _leave_stdout() -> None:
    """Discard what has not been printed yet; else Python would try to print it again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    main()
