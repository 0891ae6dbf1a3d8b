"""Reads the images of a request into memory, each within its limit."""

import io
from collections.abc import Callable
from typing import NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from predictor_service.settings import PredictorSettings
from shared.errors import HeadstartError, InvalidRequest, TooLarge, UnsupportedMedia

FIELDS = ("file", "files")
MULTIPART = "multipart/form-data"


class Upload(NamedTuple):
    """One file of a request: its bytes, or why they were not kept."""

    name: str | None
    data: bytes | HeadstartError


async def read_uploads(request: Request, settings: PredictorSettings) -> list[Upload]:
    """Read every file of a multipart form, or a body that is a single image.

    Raises:
        UnsupportedMedia: the content type announces something else.
        TooLarge: the body is larger, or holds more files, than the settings allow.
        InvalidRequest: the form is malformed, holds no file or another field.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return await _read_form(request, content_type, settings)
    if media_type.startswith("image/") or media_type in {"", "application/octet-stream"}:
        return [await _read_image(request, settings.max_image_bytes)]
    raise UnsupportedMedia(
        f"Content-Type should be {MULTIPART}, image/* or application/octet-stream. "
        f"Received: {media_type!r}."
    )


async def _read_image(request: Request, limit: int) -> Upload:
    body = io.BytesIO()
    await _read_body(request, limit, "HEADSTART_MAX_IMAGE_BYTES", body.write)
    return Upload(None, body.getvalue())


async def _read_form(
    request: Request, content_type: str, settings: PredictorSettings
) -> list[Upload]:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidRequest(f"Content-Type {MULTIPART} should name a boundary.")
    form = _Form(settings.max_files, settings.max_image_bytes)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        limit = settings.max_request_bytes
        await _read_body(request, limit, "HEADSTART_MAX_REQUEST_BYTES", parser.write)
    except FormParserError as error:
        raise InvalidRequest(f"The body is no {MULTIPART}: {error}") from error
    return form.uploads()


async def _read_body(
    request: Request, limit: int, setting: str, write: Callable[[bytes], object]
) -> None:
    """Pass the body on, chunk by chunk; refuse it as soon as it is known to exceed `limit`."""
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
    """Collects the files of a form as the parser meets them."""

    def __init__(self, max_files: int, max_bytes: int) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._uploads: list[Upload] = []
        self._ended = False
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._name: str | None = None
        self._file = io.BytesIO()  # which gives its bytes away without copying them
        self._size = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def uploads(self) -> list[Upload]:
        if not self._ended:
            raise InvalidRequest("The form ends before its closing boundary.")
        if not self._uploads:
            raise InvalidRequest("The form should hold at least one field `file`. Received: none.")
        return self._uploads

    def _on_part_begin(self) -> None:
        if len(self._uploads) == self._max_files:
            raise TooLarge(f"HEADSTART_MAX_FILES allows {self._max_files} files in one request.")
        self._disposition = b""
        self._file, self._size = io.BytesIO(), 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        field = options.get(b"name", b"").decode(errors="replace")
        if field not in FIELDS:
            raise InvalidRequest(f"The form's fields should be named `file`. Received: {field!r}.")
        name = options.get(b"filename")
        self._name = name.decode(errors="replace") if name else None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size <= self._max_bytes:
            self._file.write(memoryview(data)[start:end])
        else:
            self._file = io.BytesIO()

    def _on_part_end(self) -> None:
        self._uploads.append(Upload(self._name, self._content()))

    def _content(self) -> bytes | HeadstartError:
        if self._size <= self._max_bytes:
            return self._file.getvalue()
        return TooLarge(
            f"HEADSTART_MAX_IMAGE_BYTES allows {self._max_bytes} bytes. Received: {self._size}."
        )

    def _on_end(self) -> None:
        self._ended = True
