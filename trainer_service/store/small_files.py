"""Small files of the store, opened so that none can hang or fill a process; and their errors."""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Literal

from shared.documents import read_small
from shared.files import is_fault_of_the_file

__all__ = ["concerns_one_file", "is_gone", "open_small", "read_small", "stays"]

#: What this process has run out of says nothing of a file, nor of all others.
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def open_small(file: Path, most: int, mode: Literal["rb", "a+b"] = "rb") -> IO[bytes]:
    """Open a regular file for what of it is wanted.

    Raises:
        OSError: it can't be opened, is no regular file (a pipe would hang whoever opens it), or has
            more than `most` bytes.
    """
    opened = open(file, mode, opener=_regular)  # noqa: SIM115 - the caller closes it
    if os.fstat(opened.fileno()).st_size <= most:
        return opened
    opened.close()
    raise PermissionError(errno.EPERM, f"it has more than {most} bytes", str(file))


def _regular(path: str, flags: int) -> int:
    """Open a file without waiting for a pipe's other end; of a folder Python itself complains."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a socket
            raise
        raise _irregular(path) from None
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
        return descriptor
    os.close(descriptor)
    raise _irregular(path)


def _irregular(path: str) -> PermissionError:
    return PermissionError(errno.EPERM, "it is no regular file", path)


def concerns_one_file(error: OSError) -> bool:
    """Return whether an error says something of one file, be it for now only, and not of all."""
    return error.errno not in _OUT_OF


def is_gone(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def stays(error: OSError) -> bool:
    """Return whether a file can't be read whenever one tries, though it is there."""
    return is_fault_of_the_file(error) and not is_gone(error)
