"""Detects from sizes and times alone whether the files of a version have changed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from shared.models.manifest import MANIFEST_FILE

#: A file's path, its size in bytes, and its mtime and ctime in nanoseconds.
_Entry = tuple[str, int, int, int]
#: The entries of all files and directories below a directory.
Fingerprint = frozenset[_Entry]


def fingerprint(directory: Path) -> Fingerprint:
    """Return path, size and times of all files below a directory, without reading them.

    A file or directory that can't be examined has its negative errno in place of its size.
    """
    return frozenset(_entries(directory))


def manifest_fingerprint(directory: Path) -> Fingerprint:
    """Return the fingerprint of a version's manifest alone."""
    return frozenset(_entry(directory / MANIFEST_FILE, directory))


def glance(directory: Path) -> Fingerprint:
    """Return the fingerprints of what lies in a directory, without those of what lies in that.

    They change when something is put into one of its folders, or taken out of one.
    """
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - names
    except OSError as error:
        return frozenset([_fault(directory, directory, error)])
    return frozenset(entry for name in names for entry in _entry(directory / name, directory))


def _entries(directory: Path) -> Iterator[_Entry]:
    errors: list[OSError] = []
    for entry in walk(directory, errors.append):
        yield from _entry(Path(entry.path), directory)
    for error in errors:
        if not isinstance(error, FileNotFoundError):
            yield _fault(Path(error.filename), directory, error)


def _entry(path: Path, directory: Path) -> Iterator[_Entry]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield _fault(path, directory, error)
        return
    name = path.relative_to(directory).as_posix()
    yield name, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _fault(path: Path, directory: Path, error: OSError) -> _Entry:
    return path.relative_to(directory).as_posix(), -(error.errno or 1), 0, 0


def only(entries: Fingerprint, *names: str) -> Fingerprint:
    """Return the entries with these paths."""
    return frozenset(entry for entry in entries if entry[0] in names)


def walk(root: Path, on_error: Callable[[OSError], object]) -> Iterator["os.DirEntry[str]"]:
    """Yield all entries below a folder, at any depth, without following links.

    Args:
        root: the folder.
        on_error: called with the error if a folder can't be listed; the walk then goes on.
    """
    waiting = [os.fspath(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except OSError as error:
            on_error(error)
            continue
        yield from found
        waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
