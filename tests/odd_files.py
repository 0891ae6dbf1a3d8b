"""Files that are none, for what may come to lie in a file's place."""

import socket
from contextlib import chdir
from pathlib import Path


def make_socket(path: Path) -> None:
    """Make a socket, however long its path is: the system takes only short ones."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
