"""Opens small files of the store to read and write them, without the risk of hanging.

Whatever was put in place of such a file, e.g. a pipe or a huge file, gives an OSError. Functions
here also classify these errors. What is only read, `shared.documents.read_small` reads.
"""

import errno
import os
import stat
from pathlib import Path
from typing import IO, Literal

from shared.files import is_fault_of_the_file

#: This process or the system has run out of these; the file itself is not at fault.
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def open_small(file: Path, most: int, mode: Literal["rb", "a+b"] = "rb") -> IO[bytes]:
    """Open a regular file of at most `most` bytes; the caller closes it.

    Raises:
        OSError: it can't be opened, is not a regular file (opening a pipe would block), or has
            more than `most` bytes.
    """
    opened = open(file, mode, opener=_regular)  # noqa: SIM115 - the caller closes it
    if os.fstat(opened.fileno()).st_size <= most:
        return opened
    opened.close()
    raise PermissionError(errno.EPERM, f"it has more than {most} bytes", str(file))


def _regular(path: str, flags: int) -> int:
    """Open a regular file, as `opener` of `open`; O_NONBLOCK keeps pipes from blocking.

    A directory is let through, as `open` itself raises IsADirectoryError then.
    """
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
    return PermissionError(errno.EPERM, "it is not a regular file", path)


def concerns_one_file(error: OSError) -> bool:
    """Return whether an error is about the file, even if it may pass, and not about the system.

    Running out of memory or file descriptors, for example, is about the system.
    """
    return error.errno not in _OUT_OF


def is_gone(error: OSError) -> bool:
    """Return whether a file, or a folder on its path, does not exist."""
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def is_permanent(error: OSError) -> bool:
    """Return whether a file exists but can't be read, now or later, until someone repairs it."""
    return is_fault_of_the_file(error) and not is_gone(error)
