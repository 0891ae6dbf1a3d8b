"""Prints the results and the errors of every command."""

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
from client.interrupts import INTERRUPTED

WIDE = 160

#: Invisible characters that join others, in emoji and in Persian.
JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    """Return a text with an escape in place of each character that could control the terminal.

    Names and labels come from files that others have made. They may contain ESC, newlines, and
    marks that change the direction of writing.
    """
    return "".join(c if _is_harmless(c) else _escaped(c) for c in str(text))


def _is_harmless(character: str) -> bool:
    is_space = unicodedata.category(character) == "Zs"
    return character.isprintable() or is_space or character in JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def counted(number: int, thing: str) -> str:
    """Return a number of things in words, for example "1 image" or "2 images"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def plain(text: object, style: str = "") -> Text:
    """Return a text for rich that is printed without markup, emoji names and escape sequences."""
    return Text(printable(text), style)


def print_line(text: object) -> None:
    """Print a line."""
    typer.echo(printable(text))


def print_note(text: object) -> None:
    """Print a line on stderr: a note or an error, not a result."""
    typer.echo(printable(text), err=True)


def open_console(*, quiet: bool = False) -> Console:
    """Return a console as wide as the terminal, or a wide one if stdout is not a terminal."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(quiet=quiet, width=wide)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def errors_in_words(*, as_json: bool) -> Iterator[None]:
    """Print an error of the body and end the command with its exit code.

    Args:
        as_json: print the error as JSON on stdout, not as a sentence on stderr.
    """
    try:
        yield
    except ClientError as error:
        if as_json:
            print_json({"error": error.problem})
        else:
            print_note(error)
            for line in error.advice:
                print_note(line)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
