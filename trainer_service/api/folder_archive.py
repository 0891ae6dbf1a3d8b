"""Packs the files of an uploaded folder into one archive as they arrive.

A folder of 20,000 pictures is one file to sync, to move and to delete; and the names that the
client gives stay data: nothing is ever written under them.
"""

import zipfile
from pathlib import Path
from typing import IO

from shared.errors import InvalidRequest

MAX_NAME = 1024

#: Nobody reads it; the earliest time that a zip can tell.
_TIME = (1980, 1, 1, 0, 0, 0)


class FolderArchive:
    """An uncompressed zip that is written one file after the other.

    Args:
        path: where it is made.
        max_files: how many files it may hold.
    """

    def __init__(self, path: Path, max_files: int) -> None:
        self.path = path
        self._max_files = max_files
        self._archive = zipfile.ZipFile(path, "x", zipfile.ZIP_STORED)
        self._names: set[str] = set()

    def begin(self, name: str) -> IO[bytes]:
        """Return what takes the bytes of the next file; close it before the one after.

        Raises:
            InvalidRequest: there are too many files, or one of that name, or it has no name.
        """
        if len(self._names) == self._max_files:
            raise InvalidRequest(
                "files: expected at most as many as HEADSTART_MAX_UPLOAD_FILES allows, "
                f"{self._max_files}. Send an archive instead, or raise the limit."
            )
        if not name or len(name) > MAX_NAME:
            raise InvalidRequest(
                "files: expected each with its relative path for a file name, of at most "
                f"{MAX_NAME} characters. Received: {name[:80]!r}"
            )
        if name in self._names:
            raise InvalidRequest(f"files: expected each name once. Received: {name!r} twice")
        self._names.add(name)
        return self._archive.open(zipfile.ZipInfo(name, _TIME), "w", force_zip64=True)

    def close(self) -> None:
        self._archive.close()

    @property
    def name(self) -> str:
        """What to call the whole: the folder that holds all files, or how many there are."""
        tops = {name.partition("/")[0] for name in self._names}
        nested = all("/" in name for name in self._names)
        return tops.pop() if nested and len(tops) == 1 else f"{len(self._names)} files"
