"""Makes the process of a test an ordinary user: for root no file and no directory is closed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def ordinary_user() -> Iterator[int]:
    """Be an ordinary user, and yield its id.

    What the body imports for the first time may lie where only root may read.
    """
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(before)


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Yield a directory that everybody can reach and write to, which is not so below `tmp_path`."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory)


@contextmanager
def closed(path: Path, mode: int = 0) -> Iterator[None]:
    """Give a file or directory a mode, and its own mode back at the end."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)
