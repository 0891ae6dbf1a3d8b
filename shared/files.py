"""Files that are either complete or absent."""

import errno
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.002
#: With less free space than this the disk counts as full: libraries write what fits, then fail.
NOTHING_LEFT_BYTES = 1 << 20

#: O_NONBLOCK: opening a pipe does not wait for a process that writes into it.
_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_TO_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


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
    """Write a file that appears under `path` only when it is complete and synced."""
    with atomic_writer(path) as file:
        file.write(data)


#: Errors that are about the file itself. All others are about the state of the machine right now.
_FAULTS_OF_A_FILE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EFBIG,
    }
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

#: The errors of opening a folder, a loop of links and a socket.
_NO_LOCKS = frozenset({errno.EISDIR, errno.ELOOP, errno.ENXIO})


class NoPlainFile(OSError):
    """The path leads to a device, a pipe or a socket, from which no bytes should be read."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.ENXIO, "it is not a plain file", name)


def is_fault_of_the_file(error: OSError) -> bool:
    """Return whether an error is about the file itself, so that another attempt would fail too.

    ESTALE from a network share, EIO from a disk, and a process without free descriptors or memory
    are not about the file: it may be sound, and readable a moment later.
    """
    # Python raises UnsupportedOperation if a pipe is opened for reading and writing.
    of_its_kind = isinstance(error, NoPlainFile | io.UnsupportedOperation)
    return of_its_kind or error.errno in _FAULTS_OF_A_FILE


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether an error is about the state of the machine, not about the file it worked on.

    For damaged files, libraries raise an OSError without a number.
    """
    if isinstance(error, OSError):
        return error.errno is not None and not is_fault_of_the_file(error)
    return isinstance(error, MemoryError)


@contextmanager
def open_folder(root: Path | int, name: str = "") -> Iterator[int]:
    """Open a folder below `root`, without following a link, and yield its descriptor.

    Args:
        root: a trusted folder, or its descriptor. Links on the way to it are followed.
        name: a relative path with forward slashes; empty for the root itself.

    Raises:
        OSError: the folder does not exist, or a part of `name` is a link or not a folder.
    """
    folder = os.dup(root) if isinstance(root, int) else os.open(root, _TO_FOLDER)
    try:
        for part in name.split("/") if name else []:
            inner = os.open(_inside(part, name), _TO_FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def open_file(folder: int, name: str) -> BinaryIO:
    """Open a plain file in an open folder, without following a link or waiting for a pipe.

    Args:
        folder: the descriptor of the folder, as `open_folder` yields it.
        name: the name of the file, without slashes.

    Raises:
        NoPlainFile: `name` is a folder, a device, a pipe or a socket.
        OSError: the file can't be opened, or is a link.
    """
    status = os.stat(_inside(name, name), dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        raise NoPlainFile(name)  # opening a device can have effects of its own
    return _plain(os.open(name, _TO_READ | os.O_NOFOLLOW, dir_fd=folder), name)


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file of the service's own. Links are followed; a pipe is not waited for.

    Raises:
        NoPlainFile: the path leads to a device, a pipe or a socket.
        OSError: the file can't be opened, or is a folder.
    """
    return _plain(os.open(path, _TO_READ), str(path))


def _plain(descriptor: int, name: str) -> BinaryIO:
    """Return the open file if it is a plain one; else close it and raise."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise NoPlainFile(name)
    return open(descriptor, "rb")


def open_below(root: Path | int, name: str) -> BinaryIO:
    """Open a plain file below `root` without following a link on the way from there.

    The open file is the one that was checked, even if another process replaces it meanwhile.

    Args:
        root: as for `open_folder`.
        name: a relative path with forward slashes.

    Raises:
        NoPlainFile: `name` is a folder, a device, a pipe or a socket.
        OSError: the file can't be opened; ELOOP if it is a link or leads out of `root`.
    """
    parent, _, last = name.rpartition("/")
    with open_folder(root, parent) as folder:
        return open_file(folder, last)


def _inside(part: str, name: str) -> str:
    if part in {"", ".", ".."} or "/" in part:
        raise OSError(errno.ELOOP, "it leads out of its folder", name)
    return part


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def full_disk_named(directory: Path, needed: int = NOTHING_LEFT_BYTES) -> Iterator[None]:
    """Raise ENOSPC in place of the various errors that libraries raise when a disk is full.

    Some say that it is full, as an exception of their own. Others do not say why they failed.

    Args:
        directory: the directory that the body writes to.
        needed: if fewer bytes than this are free, any error of the body is put down to the disk.

    Raises:
        OSError: the disk is full (ENOSPC).
    """
    try:
        yield
    except Exception as error:
        said = any(os.strerror(number) in str(error) for number in _FULL)
        if is_disk_full(error) or not (said or shutil.disk_usage(directory).free <= needed):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory)) from error


@contextmanager
def locked_briefly(
    path: Path,
    patience: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold the lock file `path` for work of milliseconds.

    A process that holds the lock for `patience` seconds is stuck, or ran on a host that is gone
    while the file server still keeps its lock. Then the lock is taken from it.

    Args:
        path: the lock file; it is created if it does not exist.
        patience: seconds.
        clock: what they are measured with.
    """
    last, since = (0, 0), clock()
    while True:
        with _open_lock(path) as file:
            if try_lock(file) and is_current(file, path):
                os.utime(file.fileno())
                yield
                return
            # Before the status is read, as the lock may pass to another process in between.
            now = clock()
            status = os.fstat(file.fileno())
            holding = (status.st_ino, status.st_mtime_ns)
            if holding != last:
                last, since = holding, now
            elif now - since >= patience and is_current(file, path):
                path.unlink(missing_ok=True)
        time.sleep(POLL_SECONDS)


def _open_lock(path: Path) -> IO[bytes]:
    """Open a lock file; a pipe can be locked too, and its other end is not waited for.

    What can't be locked, such as a folder, is moved aside; else the lock could never be taken.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        if path.is_dir() or path.is_symlink() or path.is_socket():  # it may have changed meanwhile
            path.rename(path.with_name(f"{path.name}.unusable-{secrets.token_hex(4)}"))
        descriptor = os.open(path, flags, 0o666)
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor


def try_lock(file: IO[Any], kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file without waiting, and return whether it could be locked.

    Args:
        file: the open file.
        kind: `fcntl.LOCK_EX` for an exclusive lock, `fcntl.LOCK_SH` for a shared one.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_current(file: IO[Any], path: Path) -> bool:
    """Return whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def sync_directory(path: Path) -> None:
    """Fsync a directory or a file, given its path."""
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
