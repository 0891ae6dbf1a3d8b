"""The thumbnails of a dataset, in one file: a database, so that one is found without reading all.

The trainer API imports this, and has no Pillow.
"""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

if TYPE_CHECKING:
    from trainer_service.dataset.thumbnails import Thumbnail

THUMBNAILS_FILE = "thumbnails"

#: A picture of no more bytes and pixels is its own thumbnail.
SMALL_BYTES = 16 * 1024
SMALL_SIDE = 320


def fits(size: int, width: int, height: int) -> bool:
    """Tell whether a picture is small enough to be shown as it is."""
    return size <= SMALL_BYTES and max(width, height) <= SMALL_SIDE


class ThumbnailWriter:
    """Fills a new file; it is complete, and on the disk, when the context ends.

    What is half written after a crash is removed with the rest of a dataset that was not read to
    its end: hence no journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> Self:
        for line in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "CREATE TABLE thumbnails (sha256 BLOB PRIMARY KEY, media_type TEXT, data BLOB)",
            "BEGIN",
        ):
            self._database.execute(line)
        return self

    def add(self, sha256: str, thumbnail: "Thumbnail") -> None:
        row = (bytes.fromhex(sha256), thumbnail.media_type, thumbnail.data)
        self._database.execute("INSERT OR IGNORE INTO thumbnails VALUES (?, ?, ?)", row)

    def __exit__(self, *_: object) -> None:
        self._database.execute("COMMIT")
        self._database.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def find_thumbnail(path: Path, sha256: str) -> tuple[bytes, str] | None:
    """Return the bytes of a thumbnail and their media type, or None if there is none."""
    if not path.is_file():
        return None
    # Nobody writes to it any more: no lock is needed, which not every file server has.
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    try:
        query = "SELECT data, media_type FROM thumbnails WHERE sha256 = ?"
        row: tuple[bytes, str] | None = database.execute(query, [bytes.fromhex(sha256)]).fetchone()
    finally:
        database.close()
    return row
