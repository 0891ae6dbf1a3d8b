"""Reads archives and folders piece by piece, to upload them."""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from client.errors import ClientError

CHUNK_BYTES = 1 << 18
#: The trainer reads files in folders that are nested up to this depth.
MAX_FOLDERS = 32
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"}


class Upload:
    """A file to upload, or a folder that is packed while it is sent. It can be sent again.

    Attributes:
        name: the file name that the trainer gets.
        bytes: the number of bytes to send.
        sample: an image that can be classified later, if one is known.
        left_out: what is in the folder but is not sent, each with the reason.
        sent: called with the number of bytes read since the last start from the beginning.
        check: called before each piece; what it raises ends the sending.
    """

    def __init__(self, name: str, length: int, chunks: Callable[[], Iterator[bytes]]) -> None:
        self.name = name
        self.bytes = length
        self.sample: Path | None = None
        self.left_out: list[str] = []
        self.sent: Callable[[int], None] = lambda _: None
        self.check: Callable[[], None] = lambda: None
        self._chunks = chunks
        self.seek(0)

    def seek(self, _: int) -> None:
        """Go to the beginning, wherever httpx asks to go; it does so before it sends a file."""
        # httpx would take an empty piece for the end of the file.
        self._left = filter(None, self._chunks())
        self._read = 0

    def read(self, _: int = -1) -> bytes:
        """Return the next piece of the file; it is empty at the end.

        Raises:
            ClientError: a file can't be read, or changed meanwhile.
        """
        self.check()
        chunk = next(self._left, b"")
        self._read += len(chunk)
        self.sent(self._read)
        return chunk


def open_upload(source: Path) -> Upload:
    """Return the upload of an archive, or of a folder as a tar that is made while it is sent.

    Args:
        source: an archive or a folder.

    Raises:
        ClientError: the folder has no files, or a folder or a file can't be read.
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
        others = f" that can be sent. The first that can't is {left_out[0]}" if left_out else ""
        raise ClientError(f"There are no files in {source}{others}.")
    length = sum(path.stat().st_size for path in files)
    name = f"{source.absolute().name or 'folder'}.tar"
    upload = Upload(name, length, lambda: _tar(source, files))
    upload.sample = next((path for path in files if path.suffix.lower() in IMAGES), None)
    upload.left_out = left_out
    return upload


@contextmanager
def _faults_in_words(path: Path) -> Iterator[None]:
    """Turn an OSError into a sentence that names the file; `path` if the error names none."""
    try:
        yield
    except OSError as error:
        name = error.filename or path
        raise ClientError(f"{name} can't be read: {error.strerror}.") from None


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path of everything below a folder, in order, and why it is not sent, if so.

    Hidden files and folders are skipped.

    Raises:
        OSError: a folder can't be listed; to skip it would leave out its files unnoticed.
    """
    for directory, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        told = [name for name in folders if Path(directory, name).is_symlink()]
        if len(Path(directory).relative_to(folder).parts) == MAX_FOLDERS:
            told, folders[:] = folders[:], []
        for name in sorted(told + [name for name in names if not name.startswith(".")]):
            path = Path(directory, name)
            yield path, _problem(path)


def _raise(error: OSError) -> None:
    raise error


def _problem(path: Path) -> str:
    """Return why a path is not sent; an empty text if it is a file."""
    if path.is_file():
        return ""
    if path.is_symlink() and path.is_dir():
        return "a link to a folder"
    if path.is_dir():
        return f"nested too deeply: at most {MAX_FOLDERS} folders may lie inside each other"
    return "not a regular file" if path.exists() else "a link that leads nowhere"


def _read(path: Path) -> Iterator[bytes]:
    with _faults_in_words(path), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _tar(folder: Path, files: list[Path]) -> Iterator[bytes]:
    """Yield the bytes of a tar archive; they are the same each time if the files are."""
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
