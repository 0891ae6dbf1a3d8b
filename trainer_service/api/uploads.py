"""Receives multipart uploads of any size: files go straight to a directory of the caller's.

Starlette's own form parser spools files to the system's temporary directory first, which is too
small for datasets and on another disk than the store.
"""

import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from shared.errors import InvalidRequest, TooLarge, UnsupportedMedia
from trainer_service.api.folder_archive import FolderArchive

MAX_FIELDS = 100
MAX_FIELD_BYTES = 64 * 1024
MAX_FILES = 100

_CHUNK_BYTES = 1 << 20


class UploadedFile(NamedTuple):
    """A file of an upload: `name` is what the client calls it, `path` where it lies."""

    field: str
    name: str
    path: Path
    bytes: int


@dataclass
class Upload:
    """What a form consists of; the files of a folder are one archive."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)


class FolderField(NamedTuple):
    """The field whose files make up a folder, each with its relative path for a file name."""

    name: str
    max_files: int


async def receive_upload(
    request: Request, directory: Path, max_bytes: int, folder: FolderField | None = None
) -> Upload:
    """Receive a multipart/form-data body, writing its files to `directory` as they arrive.

    The files get names of our own, those of a folder are packed into a single zip. If anything
    goes wrong those written so far are removed.

    Raises:
        UnsupportedMedia: the body is of another type.
        TooLarge: the body has more than `max_bytes` bytes.
        InvalidRequest: the body is malformed, ends early, or has too many or too large fields.
    """
    boundary = _boundary(request)
    _check_announced(request, max_bytes)
    form = _Form(directory, folder)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in _chunks(request, max_bytes):
            await run_in_threadpool(parser.write, chunk)
        await run_in_threadpool(form.finish)  # writes a folder to the disk
    except FormParserError as error:
        form.discard()
        raise InvalidRequest(f"Malformed multipart/form-data: {error}") from error
    except BaseException:
        form.discard()
        raise
    return form.upload


def _boundary(request: Request) -> bytes:
    content_type = request.headers.get("content-type", "")
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise UnsupportedMedia(
            f"Expected a body of type multipart/form-data. Received: {content_type or 'no type'!r}"
        )
    boundary: bytes = options.get(b"boundary", b"")
    if not boundary:
        raise InvalidRequest("Expected a boundary in the Content-Type. Received: none")
    return boundary


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
    """Yield the body in pieces of about a megabyte, so that few of them go to a thread."""
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
    """Collects the parts that the parser reports."""

    def __init__(self, directory: Path, folder: FolderField | None) -> None:
        self.upload = Upload()
        self._directory = directory
        self._folder_field = folder
        self._folder: FolderArchive | None = None
        self._headers: dict[bytes, bytes] = {}
        self._header = (bytearray(), bytearray())
        self._name = ""
        self._value: bytearray | None = None
        self._file: IO[bytes] | None = None
        self._ended = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def finish(self) -> None:
        if not self._ended:
            raise InvalidRequest("The multipart/form-data body ends before its last boundary.")
        if self._folder is not None:
            self.upload.files.append(_packed(self._folder, self._folder_field))

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._folder is not None:
            self._folder.close()
            self._folder.path.unlink(missing_ok=True)
        for file in self.upload.files:
            file.path.unlink(missing_ok=True)

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise InvalidRequest("Every part of the form needs a Content-Disposition with a name.")
        self._name = _text("The name of a part", options[b"name"])
        if b"filename" not in options:
            self._begin_field()
        elif self._folder_field is not None and self._name == self._folder_field.name:
            self._begin_folder_file(self._folder_field, options[b"filename"])
        else:
            self._begin_file(options[b"filename"])

    def _begin_field(self) -> None:
        if self._name in self.upload.fields:
            raise InvalidRequest(f"{self._name}: expected once. Received: several times")
        if len(self.upload.fields) == MAX_FIELDS:
            raise InvalidRequest(f"Expected at most {MAX_FIELDS} fields.")
        self._value = bytearray()

    def _begin_file(self, name: bytes) -> None:
        if len(self.upload.files) == MAX_FILES:
            raise InvalidRequest(f"Expected at most {MAX_FILES} files.")
        path = self._new_path()
        self._file = path.open("xb")
        self.upload.files.append(UploadedFile(self._name, _base_name(name), path, 0))

    def _begin_folder_file(self, folder: FolderField, name: bytes) -> None:
        if self._folder is None:
            self._folder = FolderArchive(self._new_path(), folder.max_files)
        self._file = self._folder.begin(_text("The name of a file", name))

    def _new_path(self) -> Path:
        return self._directory / f"upload-{secrets.token_hex(8)}"

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
        elif self._value is not None:
            if len(self._value) + end - start > MAX_FIELD_BYTES:
                raise InvalidRequest(f"{self._name}: expected at most {MAX_FIELD_BYTES} bytes.")
            self._value.extend(data[start:end])

    def _on_part_end(self) -> None:
        if self._file is not None:
            self._end_file(self._file)
            self._file = None
        elif self._value is not None:
            self.upload.fields[self._name] = _text(self._name, bytes(self._value))
            self._value = None

    def _end_file(self, file: IO[bytes]) -> None:
        if self._name != (self._folder_field and self._folder_field.name):
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
            self.upload.files[-1] = self.upload.files[-1]._replace(bytes=size)
        file.close()

    def _on_end(self) -> None:
        self._ended = True


def _packed(folder: FolderArchive, field: FolderField | None) -> UploadedFile:
    folder.close()
    with folder.path.open("rb") as file:
        os.fsync(file.fileno())
    size = folder.path.stat().st_size
    return UploadedFile(field.name if field else "", folder.name, folder.path, size)


def _text(what: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{what}: expected UTF-8. Received: {data[:40]!r}") from None


def _base_name(name: bytes) -> str:
    text = name.decode(errors="replace").replace("\\", "/")
    return "".join(c for c in PurePosixPath(text).name if c.isprintable())
