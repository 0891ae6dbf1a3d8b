"""Reads multipart/form-data (RFC 7578) as it arrives; each service decides where a part goes."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from shared.errors import InvalidRequest

MULTIPART = "multipart/form-data"


class Part(NamedTuple):
    """A part of a form, as its header describes it.

    Attributes:
        field: the name of the form's field.
        filename: the name of the file, in UTF-8 wherever the client said how it is encoded; None if
            the part is not a file.
    """

    field: str
    filename: bytes | None


class PartWriter(Protocol):
    """Takes the content of one part."""

    def write(self, data: memoryview) -> None: ...

    def close(self) -> None:
        """Finish the part; called once, when all of its content has been written."""


@contextmanager
def _parse_errors_wrapped() -> Iterator[None]:
    """Turn the parser's errors in the body of the `with` into InvalidRequest."""
    try:
        yield
    except FormParserError as error:
        raise InvalidRequest(f"The body is not {MULTIPART}: {error}") from error


def media_type(content_type: str) -> str:
    """Return the type that a Content-Type names, in lower case and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


#: filename*=UTF-8''K%C3%A4tzchen.png
_EXTENDED_NAME = re.compile(rb"""filename\*\s*=\s*"?([\w-]+)'[\w-]*'([^;"\s]*)""", re.IGNORECASE)


def _file_name(disposition: bytes, options: dict[bytes, bytes]) -> bytes | None:
    """Return the name of a part's file, or None if it has none.

    Clients write names that are not ASCII in UTF-8, or as `filename*` (RFC 5987), or as a MIME word
    (RFC 2047); .NET sends the last two together.
    """
    name = options.get(b"filename")
    if extended := _EXTENDED_NAME.search(disposition):
        with suppress(LookupError, UnicodeError):
            return unquote_to_bytes(extended[2]).decode(extended[1].decode()).encode()
    if name is not None and name.startswith(b"=?") and name.endswith(b"?="):
        with suppress(LookupError, ValueError, HeaderParseError):
            return str(make_header(decode_header(name.decode("ascii")))).encode()
    return name


class FormReader:
    """Reads the body of a form piece by piece.

        reader = FormReader(request.headers["content-type"], begin)
        async for chunk in request.stream():
            reader.write(chunk)
        reader.finish()

    Args:
        content_type: the request's header, with the boundary.
        begin: called with each part; the writer that it returns gets the part's content.

    Raises:
        InvalidRequest: the header names no boundary, or one that is too long.
    """

    def __init__(self, content_type: str, begin: Callable[[Part], PartWriter]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise InvalidRequest(f"Content-Type {MULTIPART} should name a boundary.")
        self._begin = begin
        self._ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._writer: PartWriter | None = None
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        with _parse_errors_wrapped():
            self._parser = MultipartParser(boundary, callbacks)

    def write(self, chunk: bytes) -> None:
        """Take the next piece of the body.

        Raises:
            InvalidRequest: it is not multipart/form-data.
        """
        with _parse_errors_wrapped():
            self._parser.write(chunk)

    def finish(self) -> None:
        """Check that the body is complete.

        Raises:
            InvalidRequest: it ends before its closing boundary.
        """
        if not self._ended:
            raise InvalidRequest("The form ends before its closing boundary.")

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise InvalidRequest("Every part of a form needs a Content-Disposition with a name.")
        try:
            field = options[b"name"].decode()
        except UnicodeDecodeError:
            raise InvalidRequest(
                f"The name of a part should be UTF-8. Received: {options[b'name'][:40]!r}"
            ) from None
        self._writer = self._begin(Part(field, _file_name(self._disposition, options)))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._writer is not None:
            self._writer.write(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _on_end(self) -> None:
        self._ended = True
