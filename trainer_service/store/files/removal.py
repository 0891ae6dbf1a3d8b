"""Removes files and folders of any depth."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TO_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with everything in it; a missing path is not an error.

    The folder may be of any depth, and folders in it may lack permissions. Links are removed, not
    followed. If something can't be removed, the rest still is.

    Raises:
        OSError: something could not be removed; the first such error.
    """
    errors: list[OSError] = []
    with _collected(errors):
        if path.is_dir() and not path.is_symlink():
            path.chmod(stat.S_IRWXU)
            with _opened(os.fspath(path)) as top:
                _empty(top, errors)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    if errors:
        raise errors[0]


def _empty(top: int, errors: list[OSError]) -> None:
    """Empty an open folder.

    Nested folders are moved up into it first, so that no path gets too long and no recursion too
    deep.
    """
    folders = _remove_files(top, top, errors)
    while folders:
        name = folders.pop()
        with _collected(errors):
            with _opened(name, top) as folder:
                folders += _remove_files(folder, top, errors)
            os.rmdir(name, dir_fd=top)


def _remove_files(folder: int, top: int, errors: list[OSError]) -> list[str]:
    """Remove the files of an open folder, move its folders to `top`, and return their names."""
    names = []
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        with _collected(errors):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
                continue
            name = entry.name if folder == top else secrets.token_hex(8)
            os.chmod(entry.name, stat.S_IRWXU, dir_fd=folder)
            if folder != top:
                os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
            names.append(name)
    return names


@contextmanager
def _opened(name: str, below: int | None = None) -> Iterator[int]:
    """Open a folder to list it; fail if it is a link."""
    descriptor = os.open(name, _TO_LIST, dir_fd=below)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _collected(errors: list[OSError]) -> Iterator[None]:
    """Add an OSError of the body to `errors` and go on; a missing file is not an error."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as error:
        errors.append(error)
