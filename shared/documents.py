"""Reads the small files of the store safely, even if a pipe or a huge file is in their place."""

import errno
import os
from pathlib import Path

from shared.errors import HeadstartError
from shared.files import is_fault_of_the_file, open_plain

#: A manifest with a confusion matrix of 1,000 labels takes 13 MB.
MOST_BYTES = 128 << 20


class Unreadable(HeadstartError):
    """The file can never be read; the message says why. Trying again changes nothing."""

    title = "Unreadable file"


def read_small(file: Path, most: int) -> bytes:
    """Return the bytes of a plain file of limited size.

    Args:
        file: the path of the file.
        most: the largest size that is accepted, in bytes.

    Raises:
        OSError: the file can't be read, is not a plain file, or has more than `most` bytes.
            `is_fault_of_the_file` says whether another attempt could succeed.
    """
    with open_plain(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        data = opened.read(size + 1) if size <= most else b""
        if len(data) > size:  # some file systems report no size, and files grow
            data += opened.read(max(0, most + 1 - len(data)))
    if max(size, len(data)) > most:
        raise OSError(errno.EFBIG, f"it should have at most {most} bytes", str(file))
    return data


def read_document(path: Path, most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a small file of the store.

    Args:
        path: the path of the file.
        most: the largest size that is accepted, in bytes.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no file at `path`.
        Unreadable: the file may not be opened, is a folder, a pipe or a device, or is too large.
        OSError: the machine can't read the file now; a later attempt may succeed.
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
    """Return the system's message for an error; if permission is missing, with the user's id."""
    words = error.strerror or str(error)
    return f"{words} (user id {os.geteuid()})" if isinstance(error, PermissionError) else words
