"""Archives and folders on their way to the trainer, a piece at a time."""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from client.errors import ClientError

CHUNK_BYTES = 1 << 18
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


class Upload:
    """A file to be sent, which may not exist as one; it can be sent again.

    Attributes:
        name: what the trainer is told that the file is called.
        bytes: its length.
        sample: an image that can be predicted later, if one is known.
        left_out: what lies in the folder and is not sent, and why.
        sent: is told how many bytes have been read since it was last sent from the beginning.
    """

    def __init__(self, name: str, length: int, chunks: Callable[[], Iterator[bytes]]) -> None:
        self.name = name
        self.bytes = length
        self.sample: Path | None = None
        self.left_out: list[str] = []
        self.sent: Callable[[int], None] = lambda _: None
        self._chunks = chunks
        self.seek(0)

    def seek(self, _: int) -> None:
        """Go to the beginning, as httpx does whenever it sends a file; there is no other place."""
        # An empty piece would be taken for the end.
        self._left = filter(None, self._chunks())
        self._read = 0

    def read(self, _: int = -1) -> bytes:
        """Return the next piece, which is empty at the end: this is all that httpx asks of a file.

        Raises:
            ClientError: a file can't be read, or changed meanwhile.
        """
        chunk = next(self._left, b"")
        self._read += len(chunk)
        self.sent(self._read)
        return chunk


def open_upload(source: Path) -> Upload:
    """Return what to send for an archive, or for a folder: a tar of it, made while it is sent.

    Raises:
        ClientError: there is nothing to send, or a folder or a file can't be looked into.
    """
    with _faults_in_words(source):
        return _open_folder(source) if source.is_dir() else _open_file(source)


def _open_file(source: Path) -> Upload:
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ClientError(f"{source} is neither a regular file nor a folder.")
    return Upload(source.name, status.st_size, lambda: _read(source))


def _open_folder(source: Path) -> Upload:
    found = list(_files(source))
    files = [path for path, problem in found if not problem]
    left_out = [f"{path}: {problem}" for path, problem in found if problem]
    if not files:
        others = f"; of what can't be sent the first is {left_out[0]}" if left_out else ""
        raise ClientError(f"There are no files in {source}{others}.")
    length = sum(path.stat().st_size for path in files)
    name = f"{source.absolute().name or 'folder'}.tar"
    upload = Upload(name, length, lambda: _tar(source, files))
    upload.sample = next((path for path in files if path.suffix.lower() in IMAGES), None)
    upload.left_out = left_out
    return upload


@contextmanager
def _faults_in_words(path: Path) -> Iterator[None]:
    """Say what can't be read: what the error names, or `path` as errors of reading name nothing."""
    try:
        yield
    except OSError as error:
        name = error.filename or path
        raise ClientError(f"{name} can't be read: {error.strerror}.") from None


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder in order, but none that are hidden; of others, what they are.

    Raises:
        OSError: a folder can't be listed: what lies there would be missing without a word.
    """
    for directory, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(directory, name).is_symlink()]
        for name in sorted(links + [name for name in names if not name.startswith(".")]):
            path = Path(directory, name)
            yield path, _problem(path)


def _raise(error: OSError) -> None:
    raise error


def _problem(path: Path) -> str:
    """Return why what lies there is not sent, nothing if it is a file."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "a link to a folder"
    return "no regular file" if path.exists() else "a link that leads nowhere"


def _read(path: Path) -> Iterator[bytes]:
    with _faults_in_words(path), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _tar(folder: Path, files: list[Path]) -> Iterator[bytes]:
    """Yield the bytes of an archive, which are the same each time if the files are."""
    for path in files:
        with _faults_in_words(path), path.open("rb") as file:
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size = os.fstat(file.fileno()).st_size
            yield info.tobuf(tarfile.PAX_FORMAT)
            yield from _exactly(file, info.size, path)
            yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _exactly(file: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise ClientError(f"{path} became shorter while it was sent.")
        left -= len(chunk)
        yield chunk
