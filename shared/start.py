"""Ends a process in a sentence if what it needs from the start is not there."""

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
    """Return the settings of the environment, or end the process with what is wrong with them."""
    try:
        return kind()
    except ValidationError as error:
        sys.exit("; ".join(map(describe, error.errors())))


def describe(fault: ErrorDetails) -> str:
    """Say which setting was wrong, what was expected, and what came, unless that is a secret."""
    if not fault["loc"]:  # of several settings: the message names them
        return fault["msg"].removeprefix("Value error, ")
    name = "HEADSTART_" + "_".join(map(str, fault["loc"])).upper()
    return f"{name}: {fault['msg']}. Received: {fault['input']!r}."


def fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def require_writable(store: Path) -> None:
    """Make the store if there is none; end the process if nothing can be written there."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=store):
            pass
    except OSError as error:
        # That it is full passes, and is told of where it matters.
        if not is_disk_full(error) or not store.is_dir():
            sys.exit(_refusal(store, "a directory that can be written", error.strerror))


def require_no_file(store: Path) -> None:
    """End the process if something else lies where the store, once there is one, would be."""
    try:
        is_none = store.exists() and not store.is_dir()
    except OSError:
        return  # it is looked for again and again, and told of
    if is_none:
        sys.exit(_refusal(store, "a directory", "it is none"))


def _refusal(store: Path, expected: str, reason: str | None) -> str:
    return f"HEADSTART_STORE: expected {expected}: {reason}. Received: {str(store)!r}"
