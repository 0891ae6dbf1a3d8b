"""Archives and folders on their way to the trainer, a piece at a time."""

import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from client.errors import ClientError

CHUNK_BYTES = 1 << 18
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


class Upload:
    """A file to be sent, which may not exist as one.

    Attributes:
        name: what the trainer is told that the file is called.
        bytes: its length.
        sample: an image that can be predicted later, if one is known.
    """

    def __init__(
        self, name: str, length: int, chunks: Iterator[bytes], sample: Path | None
    ) -> None:
        self.name = name
        self.bytes = length
        self.sample = sample
        self.sent: Callable[[int], None] = lambda _: None
        # An empty piece would be taken for the end.
        self._chunks = filter(None, chunks)

    def read(self, _: int = -1) -> bytes:
        """Return the next piece, which is empty at the end: this is all that httpx asks of a file.

        Raises:
            ClientError: a file can't be read, or changed meanwhile.
        """
        try:
            chunk = next(self._chunks, b"")
        except OSError as error:
            raise ClientError(f"{error.filename} can't be read: {error.strerror}.") from None
        self.sent(len(chunk))
        return chunk


def open_upload(source: Path) -> Upload:
    """Return what to send for an archive, or for a folder: a tar of it, made while it is sent.

    Raises:
        ClientError: there is nothing to send.
    """
    if not source.is_dir():
        return Upload(source.name, source.stat().st_size, _read(source), None)
    files = list(_files(source))
    if not files:
        raise ClientError(f"There are no files in {source}.")
    sample = next((path for path in files if path.suffix.lower() in IMAGES), None)
    length = sum(path.stat().st_size for path in files)
    name = f"{source.absolute().name or 'folder'}.tar"
    return Upload(name, length, _tar(source, files), sample)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in order, but none that are hidden."""
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(directory, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _tar(folder: Path, files: list[Path]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size = os.fstat(file.fileno()).st_size
            yield info.tobuf(tarfile.PAX_FORMAT)
            left = info.size
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise ClientError(f"{path} became shorter while it was sent.")
                left -= len(chunk)
                yield chunk
            yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
