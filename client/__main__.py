"""`python -m client`: the command `headstart`."""

import errno
import os
import sys

import typer

from client.app import app

#: What a command ends with that can't print its results.
CANT_PRINT = 1


def main() -> None:
    if sys.stdout is None:
        _say("stdout is closed; expected one that results can be written to.")
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
            _say(f"stdout can't be written to: {error.strerror}.")
        sys.exit(CANT_PRINT)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _leave_stdout() -> None:
    """Throw away what is still to be printed, or Python would try it again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    main()
