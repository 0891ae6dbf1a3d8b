"""Sockets, deep folders and other things that may be in the place of a file."""

import os
import socket
from contextlib import chdir
from pathlib import Path


def make_socket(path: Path) -> None:
    """Make a socket, however long its path is: the system takes only short ones."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


#: More than Python's recursion takes.
DEEP = 1100


def make_deep(folder: Path, depth: int = DEEP, name: str = "a") -> None:
    """Make folders in a folder, one in the other, and a file in the last: no path leads to it."""
    inner = os.open(folder, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=inner)
        outer, inner = inner, os.open(name, os.O_DIRECTORY, dir_fd=inner)
        os.close(outer)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)


def make_pets_beside_a_secret(directory: Path) -> Path:
    """Make `pets/cat/1.png`, beside a secret that nothing in it must lead to; return `pets`."""
    (directory / "pets/cat").mkdir(parents=True)
    (directory / "pets/cat/1.png").write_bytes(b"cat")
    (directory / "out").mkdir()
    (directory / "out/1.png").write_bytes(b"secret")
    return directory / "pets"
