"""Files that are either complete or absent."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; at the end fsync it and rename it into place."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def atomic_write(path: Path, data: bytes) -> None:
    with atomic_writer(path) as file:
        file.write(data)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` alone among all processes; the lock dies with its holder."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Fsync every file and directory below `root`, and `root` itself."""
    for directory, _, names in os.walk(root):
        for name in names:
            sync_directory(Path(directory, name))
        sync_directory(Path(directory))


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_limited(
    source: IO[bytes], target: IO[bytes], limit: int, exceeded: Callable[[], Exception]
) -> int:
    """Copy at most `limit` bytes from `source` to `target` and return how many.

    Raises:
        Exception: what `exceeded()` returns, if the source holds more than `limit` bytes.
    """
    copied = 0
    while chunk := source.read(1 << 20):
        copied += len(chunk)
        if copied > limit:
            raise exceeded()
        target.write(chunk)
    return copied
