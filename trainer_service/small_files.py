"""Small files of the store: `read_small`, and what its errors say of a file."""

import errno

from shared.documents import read_small
from shared.files import is_fault_of_the_file

__all__ = ["concerns_one_file", "is_gone", "read_small", "stays"]

#: What this process has run out of says nothing of a file, nor of all others.
_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def concerns_one_file(error: OSError) -> bool:
    """Tell whether an error says something of one file, be it for now only, and not of all."""
    return error.errno not in _OUT_OF


def is_gone(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def stays(error: OSError) -> bool:
    """Tell whether a file can't be read whenever one tries, though it is there."""
    return is_fault_of_the_file(error) and not is_gone(error)
