"""Reads the images of a request into memory, within the limits of the settings."""

import io
from collections.abc import Callable
from typing import NamedTuple

from fastapi import Request
from starlette.requests import ClientDisconnect

from predictor_service.settings import PredictorSettings
from shared.errors import HeadstartError, InvalidImage, InvalidRequest, TooLarge, UnsupportedMedia
from shared.http.multipart import MULTIPART, FormReader, Part, PartWriter, media_type
from shared.images.formats import HEAD_BYTES, UNREAD_MEDIA_TYPES, not_read, unread_format

FIELDS = ("file", "files")


class Upload(NamedTuple):
    """One file of a request.

    Attributes:
        name: the file name that the client sent; None if it sent none.
        data: the bytes of the file, or the error that says why they are of no use.
    """

    name: str | None
    data: bytes | HeadstartError


async def read_uploads(request: Request, settings: PredictorSettings) -> list[Upload]:
    """Read every file of a multipart form, or a body that is a single image.

    Raises:
        UnsupportedMedia: the content type is that of neither a form nor an image.
        TooLarge: the body is larger, or has more files, than the settings allow.
        InvalidRequest: the form is malformed, has no file or has another field.
    """
    content_type = request.headers.get("content-type", "")
    kind = media_type(content_type)
    if kind == MULTIPART:
        return await _read_form(request, content_type, settings)
    if kind.startswith("image/") or kind in {"", "application/octet-stream"}:
        return [await _read_image(request, settings.max_image_bytes)]
    unread = UNREAD_MEDIA_TYPES.get(kind)
    raise UnsupportedMedia(
        f"Content-Type should be {MULTIPART}, image/* or application/octet-stream. "
        f"Received: {kind!r}." + (f" {not_read(unread)}." if unread else "")
    )


async def _read_image(request: Request, limit: int) -> Upload:
    body = io.BytesIO()
    await _read_body(request, limit, "HEADSTART_MAX_IMAGE_BYTES", body.write)
    return Upload(None, body.getvalue())


async def _read_form(
    request: Request, content_type: str, settings: PredictorSettings
) -> list[Upload]:
    form = _Form(settings.max_files, settings.max_image_bytes)
    reader = FormReader(content_type, form.begin)
    limit = settings.max_request_bytes
    await _read_body(request, limit, "HEADSTART_MAX_REQUEST_BYTES", reader.write)
    reader.finish()
    if not form.uploads:
        raise InvalidRequest("The form should hold at least one field `file`. Received: none.")
    return form.uploads


async def _read_body(
    request: Request, limit: int, setting: str, write: Callable[[bytes], object]
) -> None:
    """Pass the body to `write`, chunk by chunk; refuse it as soon as it exceeds `limit` bytes."""
    declared = request.headers.get("content-length", "0")
    received = int(declared) if declared.isdecimal() else 0
    if received > limit:
        raise _body_too_large(received, setting, limit)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise _body_too_large(received, setting, limit)
            write(chunk)
    except ClientDisconnect:
        raise InvalidRequest("The client left before its request was complete.") from None


def _body_too_large(size: int, setting: str, limit: int) -> TooLarge:
    return TooLarge(f"{setting} allows a body of {limit} bytes. Received: {size} or more.")


class _Form:
    """Collects the files of a form."""

    def __init__(self, max_files: int, max_bytes: int) -> None:
        self.uploads: list[Upload] = []
        self._max_files = max_files
        self._max_bytes = max_bytes

    def begin(self, part: Part) -> PartWriter:
        """Return the writer for the content of a part.

        Raises:
            TooLarge: the form has more files than it may.
            InvalidRequest: the field of the part has another name than `file`.
        """
        if len(self.uploads) == self._max_files:
            raise TooLarge(f"HEADSTART_MAX_FILES allows {self._max_files} files in one request.")
        if part.field not in FIELDS:
            raise InvalidRequest(
                f"The form's fields should be named `file`. Received: {part.field!r}."
            )
        name = part.filename.decode(errors="replace") if part.filename else None
        return _ImageWriter(name, self._max_bytes, self.uploads)


class _ImageWriter:
    """Keeps an image in memory, or only its size if it is too large."""

    def __init__(self, name: str | None, max_bytes: int, uploads: list[Upload]) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._uploads = uploads
        self._file = io.BytesIO()  # getvalue() does not copy the bytes
        self._size = 0

    def write(self, data: memoryview) -> None:
        self._size += len(data)
        if self._size <= self._max_bytes:
            self._file.write(data)
        else:
            self._file = io.BytesIO()

    def close(self) -> None:
        self._uploads.append(Upload(self._name, self._content()))

    def _content(self) -> bytes | HeadstartError:
        if self._size > self._max_bytes:
            return TooLarge(
                f"HEADSTART_MAX_IMAGE_BYTES allows {self._max_bytes} bytes. Received: {self._size}."
            )
        data = self._file.getvalue()
        unread = unread_format(data[:HEAD_BYTES], self._name)
        return InvalidImage("unreadable", not_read(unread)) if unread else data
