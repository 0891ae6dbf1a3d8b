"""What an error says of a small file of the store."""

import errno

from shared.files import is_fault_of_the_file

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
