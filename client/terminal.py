"""What every command does with its answers and its errors."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from client.errors import ClientError

INTERRUPTED = 130
WIDE = 160


def open_console(*, quiet: bool = False) -> Console:
    """Return a console as wide as the terminal; what is no terminal gets whole lines."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(quiet=quiet, width=wide)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def errors_in_words(*, as_json: bool) -> Iterator[None]:
    """End the command with an error's message and its exit code; with JSON, also on stdout."""
    try:
        yield
    except ClientError as error:
        if as_json:
            print_json({"error": error.problem})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
