"""Packs the files of an uploaded folder into one archive as they arrive.

A folder of 20,000 images is then a single file to sync, move and delete, and no file is ever
written under a name that the client has chosen.
"""

import zipfile
from pathlib import Path
from typing import IO

from shared.errors import InvalidRequest

MAX_NAME = 1024

#: The modification time of all entries: the earliest one that a zip can hold. It is not used.
_TIME = (1980, 1, 1, 0, 0, 0)


class FolderArchive:
    """An uncompressed zip that is written one file at a time.

    Args:
        path: the path of the new archive.
        max_files: how many files it may hold.
    """

    def __init__(self, path: Path, max_files: int) -> None:
        self.path = path
        self._max_files = max_files
        self._archive = zipfile.ZipFile(path, "x", zipfile.ZIP_STORED)
        self._names: set[str] = set()

    def begin(self, name: str) -> IO[bytes]:
        """Return a writer for the bytes of the next file; close it before the next call.

        Raises:
            InvalidRequest: there are too many files; or the name is empty, longer than `MAX_NAME`
                characters, or that of an earlier file.
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
        """The name of the folder that all files are in, or else the number of files."""
        tops = {name.partition("/")[0] for name in self._names}
        nested = all("/" in name for name in self._names)
        return tops.pop() if nested and len(tops) == 1 else f"{len(self._names)} files"
