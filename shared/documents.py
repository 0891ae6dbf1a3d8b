"""Reads the small files of the store, whatever has come to lie in their place."""

import errno
import os
from pathlib import Path

from shared.errors import HeadstartError
from shared.files import is_fault_of_the_file, open_plain

#: A manifest with a confusion matrix of 1,000 labels takes 13 MB.
MOST_BYTES = 128 << 20


class Unreadable(HeadstartError):
    """A verdict on what lies there, in words: trying again changes nothing."""

    title = "Unreadable file"


def read_small(file: Path, most: int) -> bytes:
    """Return the bytes of a plain file that is not larger than it should be.

    Raises:
        OSError: it can't be read, is no plain file, or has more than `most` bytes;
            `is_fault_of_the_file` tells whether that stays so.
    """
    with open_plain(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        data = opened.read(size + 1) if size <= most else b""
        if len(data) > size:  # some file systems tell no size, and files grow
            data += opened.read(max(0, most + 1 - len(data)))
    if max(size, len(data)) > most:
        raise OSError(errno.EFBIG, f"it should have at most {most} bytes", str(file))
    return data


def read_document(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a small file, or say in words why it never can be read.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
        Unreadable: it may not be opened, is a folder, a pipe or a device, or is too large.
        OSError: the machine can't read it now.
    """
    try:
        return read_small(path, most)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise Unreadable(f"{path.name} can't be read: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """Say what the system says; of what is not permitted, also to whom."""
    words = error.strerror or str(error)
    return f"{words} (user id {os.geteuid()})" if isinstance(error, PermissionError) else words
