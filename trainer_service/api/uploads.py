"""Receives multipart uploads of any size, and writes their files straight to a given directory.

Starlette's own form parser spools files to the system's temporary directory first, which is too
small for datasets and may be on another disk than the store.
"""

import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from urllib.parse import unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from shared.errors import InvalidRequest, TooLarge, UnsupportedMedia
from shared.http.multipart import MULTIPART, FormReader, Part, PartWriter, media_type
from trainer_service.api.folder_archive import FolderArchive

MAX_FIELDS = 100
MAX_FIELD_BYTES = 64 * 1024
MAX_FILES = 100

_CHUNK_BYTES = 1 << 20


class UploadedFile(NamedTuple):
    """A file of an upload: `name` is the client's name for it, `path` the file on the disk."""

    field: str
    name: str
    path: Path
    bytes: int


@dataclass
class Upload:
    """The fields and files of a form; the files of a folder have become one archive."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)


class FolderField(NamedTuple):
    """The field for the files of a folder, each with its relative path as its file name."""

    name: str
    max_files: int


#: Checks the fields that come before the first file; what it raises ends the upload.
CheckFields = Callable[[dict[str, str]], None]


async def receive_upload(
    request: Request,
    directory: Path,
    max_bytes: int,
    folder: FolderField | None = None,
    check: CheckFields = lambda _: None,
) -> Upload:
    """Receive a multipart/form-data body, writing its files to `directory` as they arrive.

    The files get random names, and those of a folder are packed into a single zip. If an error is
    raised, all files are removed.

    Args:
        request: the request whose body is read.
        directory: an existing directory for the files.
        max_bytes: the largest body, in bytes.
        folder: the field for a folder's files; None if the route takes no folders.
        check: called in a thread once the first file begins.

    Raises:
        UnsupportedMedia: the body is of another type.
        TooLarge: the body has more than `max_bytes` bytes.
        InvalidRequest: the body is malformed, ends early, or has too many or too large fields.
    """
    content_type = request.headers.get("content-type", "")
    if media_type(content_type) != MULTIPART:
        raise UnsupportedMedia(
            f"Expected a body of type {MULTIPART}. Received: {content_type or 'no type'!r}"
        )
    _check_announced(request, max_bytes)
    form = _Form(directory, folder, check)
    try:
        reader = FormReader(content_type, form.begin)
        async for chunk in _chunks(request, max_bytes):
            await run_in_threadpool(reader.write, chunk)
        reader.finish()
        await run_in_threadpool(form.finish)  # writes a folder to the disk
    except BaseException:
        form.discard()
        raise
    return form.upload


def _check_announced(request: Request, max_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        "The request is larger than HEADSTART_MAX_UPLOAD_BYTES allows. "
        f"Expected at most {max_bytes} bytes"
    )


async def _chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces of about a megabyte, as each is passed to a thread."""
    received, buffer = 0, bytearray()
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            buffer += chunk
            if len(buffer) >= _CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
    except ClientDisconnect:
        raise InvalidRequest("The connection was closed before the body had ended.") from None
    yield bytes(buffer)


class _Form:
    """Collects the parts of a form: text fields, files, and the files of a folder."""

    def __init__(self, directory: Path, folder: FolderField | None, check: CheckFields) -> None:
        self.upload = Upload()
        self._directory = directory
        self._check: CheckFields | None = check
        self._folder_field = folder
        self._folder: FolderArchive | None = None
        self._open: IO[bytes] | None = None

    def begin(self, part: Part) -> PartWriter:
        """Return a writer for the content of a part."""
        if part.filename is None:
            return self._begin_field(part.field)
        if self._check is not None:
            self._check(self.upload.fields)
            self._check = None
        if self._folder_field is not None and part.field == self._folder_field.name:
            return self._begin_folder_file(self._folder_field, part.filename)
        return self._begin_file(part.field, part.filename)

    def finish(self) -> None:
        """Complete the archive of a folder."""
        if self._folder is not None:
            self.upload.files.append(_packed(self._folder, self._folder_field))

    def discard(self) -> None:
        """Remove all files that were written."""
        if self._open is not None:
            self._open.close()
        if self._folder is not None:
            self._folder.close()
            self._folder.path.unlink(missing_ok=True)
        for file in self.upload.files:
            file.path.unlink(missing_ok=True)

    def _begin_field(self, name: str) -> PartWriter:
        if name in self.upload.fields:
            raise InvalidRequest(f"{name}: expected once. Received: several times")
        if len(self.upload.fields) == MAX_FIELDS:
            raise InvalidRequest(f"Expected at most {MAX_FIELDS} fields.")
        return _FieldWriter(name, self.upload.fields)

    def _begin_file(self, field: str, name: bytes) -> PartWriter:
        if len(self.upload.files) == MAX_FILES:
            raise InvalidRequest(f"Expected at most {MAX_FILES} files.")
        path = self._new_path()
        self._open = path.open("xb")
        self.upload.files.append(UploadedFile(field, _base_name(name), path, 0))
        return _FileWriter(self._open, self._end_file)

    def _begin_folder_file(self, folder: FolderField, name: bytes) -> PartWriter:
        if self._folder is None:
            self._folder = FolderArchive(self._new_path(), folder.max_files)
        self._open = self._folder.begin(_relative_path(name))
        return _FileWriter(self._open, self._end_folder_file)

    def _new_path(self) -> Path:
        return self._directory / f"upload-{secrets.token_hex(8)}"

    def _end_file(self, file: IO[bytes]) -> None:
        size = file.tell()
        file.flush()
        os.fsync(file.fileno())
        self.upload.files[-1] = self.upload.files[-1]._replace(bytes=size)
        self._end_folder_file(file)

    def _end_folder_file(self, file: IO[bytes]) -> None:
        file.close()
        self._open = None


class _FieldWriter:
    """Keeps the text of a field."""

    def __init__(self, name: str, fields: dict[str, str]) -> None:
        self._name = name
        self._fields = fields
        self._value = bytearray()

    def write(self, data: memoryview) -> None:
        if len(self._value) + len(data) > MAX_FIELD_BYTES:
            raise InvalidRequest(f"{self._name}: expected at most {MAX_FIELD_BYTES} bytes.")
        self._value += data

    def close(self) -> None:
        self._fields[self._name] = _text(self._name, bytes(self._value))


class _FileWriter:
    """Writes a file to the disk."""

    def __init__(self, file: IO[bytes], end: Callable[[IO[bytes]], None]) -> None:
        self._file = file
        self._end = end

    def write(self, data: memoryview) -> None:
        self._file.write(data)

    def close(self) -> None:
        self._end(self._file)


def _packed(folder: FolderArchive, field: FolderField | None) -> UploadedFile:
    folder.close()
    with folder.path.open("rb") as file:
        os.fsync(file.fileno())
    size = folder.path.stat().st_size
    return UploadedFile(field.name if field else "", folder.name, folder.path, size)


def _relative_path(name: bytes) -> str:
    """Return the path of a folder's file; aiohttp sends it as `cat%2F1.png`."""
    path = _text("The name of a file", name)
    encoded = "/" not in path and "%2f" in path.lower()
    return _text("The name of a file", unquote_to_bytes(path)) if encoded else path


def _text(what: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what}: expected UTF-8. Received: {data[:40]!r}") from None


def _base_name(name: bytes) -> str:
    text = name.decode(errors="replace").replace("\\", "/")
    return "".join(c for c in PurePosixPath(text).name if c.isprintable())
