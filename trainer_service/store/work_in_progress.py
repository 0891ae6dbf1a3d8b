"""Directories for work in progress, which show when the process that made them is gone.

<name>/          the work; whoever finishes it renames it, or what is in it
<name>.lease     held for as long as it is worked on
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trainer_service.store.lease import LeaseWatch, lease
from trainer_service.store.removal import remove_tree

TRIES, TRY_SECONDS = 50, 0.1
LEASE = ".lease"
#: What is being made, and what is being removed, has a name that begins so.
STAGING = ".staging-"
REMOVED = ".removed-"
#: Renamed before it is removed: whoever wakes up late can't finish half of it.
GONE = ".gone"


@contextmanager
def working_directory(path: Path) -> Iterator[Path]:
    """Make a directory for work in progress, and remove what is left of it at the end.

    Raises:
        FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for _ in range(TRIES):
            if stack.enter_context(lease(_lease_file(path))) is not None:
                break
            # Whoever looks for what was left takes it for an instant.
            time.sleep(TRY_SECONDS)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        path.mkdir()
        try:
            yield path
        finally:
            with suppress(OSError):
                remove_tree(path)


def directory_of(path: Path) -> Path:
    """Return the working directory that a path is, or is the lease of."""
    return path.with_suffix("") if path.suffix == LEASE else path


def remove_if_abandoned(path: Path, watch: LeaseWatch) -> bool:
    """Remove a working directory and its lease if its process is gone; tell whether that was so.

    Args:
        path: the directory.
        watch: tells whose process is gone. One whose host has vanished it has to see twice.
    """
    file = _lease_file(path)
    if not (path.is_dir() or file.exists()) or watch.held(file):
        return False
    with lease(file) as held:
        if held is None:
            return False
        gone = path if path.suffix == GONE else path.with_name(f"{path.name}{GONE}")
        with suppress(FileNotFoundError):
            path.rename(gone)
        with suppress(OSError):
            remove_tree(gone)
        return not gone.exists()


def _lease_file(path: Path) -> Path:
    return path.with_name(f"{path.name}{LEASE}")
