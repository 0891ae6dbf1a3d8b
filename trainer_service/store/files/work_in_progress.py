"""Directories for work in progress, with a lease that shows whether their process still lives.

<name>/          the work; when finished, it or what is in it is moved into place
<name>.lease     held while the process works on it
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trainer_service.store.files.lease import LeaseWatch, lease
from trainer_service.store.files.removal import remove_tree

TRIES, TRY_SECONDS = 50, 0.1
LEASE = ".lease"
#: Prefixes of the names of directories that are being written, and that are being removed.
STAGING = ".staging-"
REMOVED = ".removed-"
#: Suffix that a directory gets before its removal, so that a process that was only suspended can't
#: publish it half removed.
GONE = ".gone"


@contextmanager
def working_directory(path: Path) -> Iterator[Path]:
    """Make a directory for work in progress, and remove what is left of it at the end.

    Raises:
        FileExistsError: the directory exists, or another process holds its lease.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for _ in range(TRIES):
            if stack.enter_context(lease(_lease_file(path))) is not None:
                break
            # The search for abandoned directories holds a new lease for a moment.
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
    """Return the working directory, given its path or the path of its lease."""
    return path.with_suffix("") if path.suffix == LEASE else path


def remove_if_abandoned(path: Path, watch: LeaseWatch) -> bool:
    """Remove a working directory and its lease if its process is gone.

    Args:
        path: the directory.
        watch: decides whether the process is gone. If the process's host has vanished, it takes
            several calls, as the watch has to see that the heartbeat has stopped.

    Returns:
        Whether the directory was removed.
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
