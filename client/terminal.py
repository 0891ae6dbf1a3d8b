"""What every command does with its answers and its errors."""

import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from client.errors import ClientError

INTERRUPTED = 130
WIDE = 160

#: Invisible, but they make one sign of several, as in emoji and in Persian.
JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    """Return a text as it may be printed: what would steer the terminal is shown as an escape.

    Names and labels come from whoever has made the files; ESC, newlines and marks that turn the
    direction of writing are none of their business.
    """
    return "".join(c if _is_harmless(c) else _escaped(c) for c in str(text))


def _is_harmless(character: str) -> bool:
    is_space = unicodedata.category(character) == "Zs"
    return character.isprintable() or is_space or character in JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def plain(text: object, style: str = "") -> Text:
    """Return a text for rich, in which nothing is markup, an emoji's name or an escape sequence."""
    return Text(printable(text), style)


def say(text: object) -> None:
    """Print a line."""
    typer.echo(printable(text))


def note(text: object) -> None:
    """Print a line that is no result: on stderr, in the midst of whatever is shown."""
    typer.echo(printable(text), err=True)


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
            note(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
