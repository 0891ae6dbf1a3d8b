"""The thumbnails of a dataset, in one file: a database, so that one is found without reading all.

The trainer API imports this, and has no Pillow.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from shared.logs import get_logger

if TYPE_CHECKING:
    from trainer_service.datasets.thumbnails.thumbnail import Thumbnail

THUMBNAILS_FILE = "thumbnails"

log = get_logger(__name__)

#: A picture of no more bytes and pixels is its own thumbnail.
SMALL_BYTES = 16 * 1024
SMALL_SIDE = 320
#: If browsers show its format.
_SHOWN_FORMATS = frozenset({"jpeg", "png", "webp", "gif", "bmp", "avif"})


def fits(size: int, form: str, width: int, height: int) -> bool:
    """Return whether a picture can be shown as it is: it is small, and browsers know its format."""
    small = size <= SMALL_BYTES and max(width, height) <= SMALL_SIDE
    return small and form in _SHOWN_FORMATS


class ThumbnailWriter:
    """Fills a new file; it is complete, and on the disk, when the context ends.

    What is half written after a crash is removed with the rest of a dataset that was not read to
    its end: hence no journal. Errors of SQLite are raised as OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _as_system_error(path):
            self._database = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> Self:
        try:
            with _as_system_error(self._path):
                for line in (
                    "PRAGMA journal_mode = OFF",
                    "PRAGMA synchronous = OFF",
                    "CREATE TABLE thumbnails (sha256 BLOB PRIMARY KEY, media_type TEXT, data BLOB)",
                    "BEGIN",
                ):
                    self._database.execute(line)
        except OSError:
            self._database.close()
            raise
        return self

    def add(self, sha256: str, thumbnail: "Thumbnail") -> None:
        row = (bytes.fromhex(sha256), thumbnail.media_type, thumbnail.data)
        with _as_system_error(self._path):
            self._database.execute("INSERT OR IGNORE INTO thumbnails VALUES (?, ?, ?)", row)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with closing(self._database), _as_system_error(self._path):
            if kind is not None:
                return  # of no use any more
            self._database.execute("COMMIT")
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _as_system_error(path: Path) -> Iterator[None]:
    """Turn what SQLite could not do into an OSError: that the disk is full, or what it says."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise OSError(errno.EIO, f"SQLite: {error}", str(path)) from error


def find_thumbnail(path: Path, sha256: str) -> tuple[bytes, str] | None:
    """Return the bytes of a thumbnail and their media type, or None if none can be had."""
    if not path.is_file():
        return None
    # Nobody writes to it any more: no lock is needed, which not every file server has.
    address = f"file:{quote(str(path))}?mode=ro&immutable=1"
    query = "SELECT data, media_type FROM thumbnails WHERE sha256 = ?"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            row: tuple[bytes, str] | None = database.execute(
                query, [bytes.fromhex(sha256)]
            ).fetchone()
    except sqlite3.Error as error:
        log.warning("thumbnails can't be read", file=str(path), reason=str(error))
        return None
    return row
