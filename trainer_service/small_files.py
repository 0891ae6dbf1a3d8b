"""Small files of the store, read so that none of them can hang or fill a process."""

import errno
import os
import stat
from pathlib import Path

from shared.files import is_fault_of_the_file

#: What this process has run out of says nothing of a file, nor of all others.
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def read_small(file: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: it can't be read, is no regular file (a pipe would hang whoever opens it), or has
            more than `most` bytes.
    """
    with open(file, "rb", opener=_without_waiting) as opened:
        status = os.fstat(opened.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EPERM, "it is no regular file", str(file))
        if status.st_size > most:
            raise PermissionError(errno.EPERM, f"it has more than {most} bytes", str(file))
        return opened.read()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def concerns_one_file(error: OSError) -> bool:
    """Tell whether an error says something of one file, be it for now only, and not of all."""
    return error.errno not in _OUT_OF


def is_gone(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def stays(error: OSError) -> bool:
    """Tell whether a file can't be read whenever one tries, though it is there."""
    return is_fault_of_the_file(error) and not is_gone(error)
