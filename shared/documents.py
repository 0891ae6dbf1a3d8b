"""Reads the small files of the store, whatever has come to lie in their place."""

import os
import stat
from pathlib import Path
from typing import IO

from shared.errors import HeadstartError
from shared.files import is_fault_of_the_file

#: A manifest with a confusion matrix of 1,000 labels takes 13 MB.
MOST_BYTES = 128 << 20


class Unreadable(HeadstartError):
    """A verdict on what lies there, in words: trying again changes nothing."""

    title = "Unreadable file"


def read_document(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file that is not larger than it should be.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        Unreadable: it may not be opened, is a folder, a pipe or a device, or is too large.
        OSError: the machine can't read it now.
    """
    with _open(path) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{path.name} is not a regular file.")
        # Some file systems tell no size, and files grow.
        data = file.read(most + 1) if status.st_size <= most else b""
    if max(status.st_size, len(data)) > most:
        raise Unreadable(f"{path.name} should have at most {most} bytes. It has more.")
    return data


def reason(error: OSError) -> str:
    """Say what the system says; of what is not permitted, also to whom."""
    words = error.strerror or str(error)
    return f"{words} (user id {os.geteuid()})" if isinstance(error, PermissionError) else words


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb", opener=_without_waiting)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise Unreadable(f"{path.name} can't be read: {reason(error)}.") from error


def _without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe, whose writer would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)
