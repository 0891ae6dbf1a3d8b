"""A source of files, an archive or a folder, and what is found in it."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

from shared.files import is_fault_of_the_file
from trainer_service.errors import InvalidDataset

EXPECTED = "Expected a zip, tar or tar.gz archive, or a folder"
NO_FILE = "it is a device, a pipe or another thing that is no plain file"


class Source(NamedTuple):
    """An archive or a folder.

    `name` is what errors call it; from `root`, which is trusted, it is found without following
    links under `path`, a relative one; empty for the root itself.
    """

    root: Path
    path: str
    name: str
    is_folder: bool

    @classmethod
    def find(cls, path: Path, name: str, root: Path) -> "Source":
        """Look at what lies at `path`, below `root`.

        Raises:
            InvalidDataset: neither a file nor a folder lies there.
            OSError: it can't be looked at now.
        """
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            raise not_opened(name, error) from None
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise InvalidDataset(f"{EXPECTED}. Received: {name!r}; {NO_FILE}")
        below = path.relative_to(root).as_posix()
        return cls(root, "" if below == "." else below, name, stat.S_ISDIR(mode))


class Entry(NamedTuple):
    """A regular file of a source.

    `name` is a clean relative path for people and labels, `path` the true one below a folder.
    `open` works until the next entry is asked for, and it and what is read raise Damaged; None if
    the file can't be read, or is a `link` that is not followed, or a `folder` that is not read, and
    `problem` says why.
    """

    name: str
    path: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None
    problem: str = ""
    link: bool = False
    folder: bool = False


class Step(NamedTuple):
    """How far a source has been read, and the file found there; None for a directory.

    `note` is what was guessed of the source as a whole, in words; empty if nothing.
    """

    done: int
    total: int
    entry: Entry | None
    note: str = ""


class Damaged(Exception):
    """A verdict on a file of a source; `vanished` if it was there when its folder was listed."""

    def __init__(self, detail: str, *, vanished: bool = False) -> None:
        super().__init__(detail)
        self.vanished = vanished


def changed(name: str) -> OSError:
    """Return the error for a source that changed while it was read."""
    return OSError(errno.ESTALE, "It changed while it was read", name)


def not_opened(name: str, error: OSError) -> InvalidDataset:
    """Return the error for a source that does not exist or may not be read."""
    missing = isinstance(error, FileNotFoundError)
    reason = "which does not exist" if missing else f"{error.strerror}{this_user()}"
    return InvalidDataset(f"{EXPECTED}. Received: {name!r}, {reason}")


def this_user() -> str:
    """Return who it is that may not read something, in words to be put behind the reason."""
    return f" for the user with the id {os.geteuid()}, as which the worker runs"
