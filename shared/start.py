"""Ends a process with one sentence if its settings are wrong or its store can't be used."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.files import is_disk_full
from shared.settings import SharedSettings

Settings = TypeVar("Settings", bound=SharedSettings)


def require_settings(kind: Callable[[], Settings]) -> Settings:
    """Return the settings of the environment; if any is wrong, end the process and say which."""
    try:
        return kind()
    except ValidationError as error:
        sys.exit("; ".join(map(describe, error.errors())))


def describe(fault: ErrorDetails) -> str:
    """Return a sentence with the setting, what was expected, and, if not secret, what came."""
    if not fault["loc"]:  # about several settings: the message names them
        return fault["msg"].removeprefix("Value error, ")
    name = "HEADSTART_" + "_".join(map(str, fault["loc"])).upper()
    return f"{name}: {fault['msg']}. Received: {fault['input']!r}."


def fail(sentence: str) -> int:
    """Print a sentence to stderr and return the exit status 1."""
    sys.stderr.write(f"{sentence}\n")
    return 1


def require_writable(store: Path) -> None:
    """Create the store if it does not exist; end the process if it can't be written to."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=store):
            pass
    except OSError as error:
        # A full disk is no reason to end: space may be freed, and each write reports it.
        if not is_disk_full(error) or not store.is_dir():
            sys.exit(_refusal(store, "a directory that can be written", error.strerror))


def require_no_file(store: Path) -> None:
    """End the process if the path of the store leads to something that is not a directory.

    The store need not exist yet.
    """
    try:
        is_other = store.exists() and not store.is_dir()
    except OSError:
        return  # the hot reload polls the store, and reports the error
    if is_other:
        sys.exit(_refusal(store, "a directory", "it is something else"))


def _refusal(store: Path, expected: str, reason: str | None) -> str:
    return f"HEADSTART_STORE: expected {expected}: {reason}. Received: {str(store)!r}"
