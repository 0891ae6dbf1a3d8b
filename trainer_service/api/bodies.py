"""Request bodies that are JSON, or a multipart form with images and the same fields."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from shared.errors import InvalidRequest, TooLarge, UnsupportedMedia
from shared.http.multipart import MULTIPART, media_type
from trainer_service.api.uploads import FolderField, receive_upload
from trainer_service.requests.training import INCOMPLETE
from trainer_service.settings import TrainerSettings
from trainer_service.store.files.work_in_progress import working_directory
from trainer_service.store.stores import UPLOADS

ARCHIVE_FIELD = "archive"
FOLDER_FIELD = "files"

Model = TypeVar("Model", bound=BaseModel)
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Body:
    """The fields of a request, and the archive that came with them.

    Attributes:
        fields: the fields by name; those of a form are strings, or objects from JSON.
        archive: the uploaded archive, or the files of an uploaded folder packed into one; None
            without an upload.
        archive_name: the name of the archive or of the folder.
    """

    fields: Fields
    archive: Path | None = None
    archive_name: str = ""


@asynccontextmanager
async def read_body(
    request: Request, settings: TrainerSettings, check: Callable[[Fields], None]
) -> AsyncIterator[Body]:
    """Yield the body of a request.

    An uploaded archive is a file in the store. It is removed when the context ends, unless it has
    been moved elsewhere.

    Args:
        request: the request with the body.
        settings: the limits of the service, and its store.
        check: called with the fields of a form that come before its files, which may have
            gigabytes; what it raises is answered at once.

    Raises:
        InvalidRequest: the body is malformed or has files under other names than `archive` and
            `files`.
        TooLarge: it exceeds HEADSTART_MAX_UPLOAD_BYTES, or HEADSTART_MAX_JSON_BYTES.
        UnsupportedMedia: it is neither JSON nor multipart.
    """
    kind = media_type(request.headers.get("content-type", ""))
    if kind == "application/json":
        yield Body(_json_object(await _bounded(request, settings.max_json_bytes)))
    elif kind == MULTIPART:
        work = working_directory(settings.store / UPLOADS / secrets.token_hex(8))
        stack = ExitStack()  # entered and left in threads: the store may be slow
        directory = await run_in_threadpool(stack.enter_context, work)
        try:
            yield await _multipart(request, settings, directory, check)
        finally:
            await run_in_threadpool(stack.close)
    else:
        raise UnsupportedMedia(
            "Content-Type: expected application/json, or multipart/form-data with the file field "
            f"{ARCHIVE_FIELD!r} or {FOLDER_FIELD!r}. Received: {kind or 'none'}"
        )


def parse(kind: type[Model], fields: Fields) -> Model:
    """Validate the fields of a body.

    Raises:
        RequestValidationError: a field is wrong; FastAPI raises the same for a JSON body.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


def parse_so_far(kind: type[BaseModel], fields: Fields) -> None:
    """Validate the fields of a form of which more may come, as `parse` does.

    Errors of an object as a whole are not raised yet, as more of its members may come.
    """
    try:
        kind.model_validate(fields)
    except ValidationError as error:
        final = [fault for fault in error.errors() if not _may_become_right(fault)]
        if final:
            raise RequestValidationError(final) from None


def _may_become_right(fault: ErrorDetails) -> bool:
    whole = fault["type"] == "value_error" and isinstance(fault["input"], dict)
    return whole or fault["type"] == INCOMPLETE


async def _multipart(
    request: Request,
    settings: TrainerSettings,
    directory: Path,
    check: Callable[[Fields], None],
) -> Body:
    folder = FolderField(FOLDER_FIELD, settings.max_upload_files)
    upload = await receive_upload(
        request,
        directory,
        settings.max_upload_bytes,
        folder,
        lambda texts: check(_form_fields(texts)),
    )
    others = sorted({file.field for file in upload.files} - {ARCHIVE_FIELD, FOLDER_FIELD})
    if others:
        raise InvalidRequest(
            f"expected an archive in the field {ARCHIVE_FIELD!r}, or a folder's files in "
            f"{FOLDER_FIELD!r}. Received: {', '.join(others)}"
        )
    if len(upload.files) > 1:
        raise InvalidRequest(
            f"expected one {ARCHIVE_FIELD!r}, or the {FOLDER_FIELD!r} of a folder. Received: "
            f"{len(upload.files)} of them"
        )
    fields = _form_fields(upload.fields)
    if not upload.files:
        return Body(fields)
    return Body(fields, upload.files[0].path, upload.files[0].name)


def _form_fields(texts: dict[str, str]) -> Fields:
    """Return the values of a form's fields, given their texts."""
    if ARCHIVE_FIELD in texts:
        raise InvalidRequest(
            f"{ARCHIVE_FIELD}: expected a file; with curl that is -F {ARCHIVE_FIELD}=@FILE. "
            f"Received: the text {texts[ARCHIVE_FIELD][:100]!r}"
        )
    return _nested({name: _form_value(text) for name, text in texts.items()})


def _nested(fields: Fields) -> Fields:
    """Return the fields of a form, with `split.test=0.2` as member `test` of the object `split`."""
    nested = {name: value for name, value in fields.items() if "." not in name}
    for name, value in fields.items():
        group, dot, member = name.partition(".")
        if not dot:
            continue
        if group in fields:
            raise InvalidRequest(
                f"{group}: expected as one object, or by its members. Received: both {group!r} and "
                f"{name!r}"
            )
        nested.setdefault(group, {})[member] = value
    return nested


def _form_value(text: str) -> Any:
    """Return the value of a form's field: objects are parsed as JSON, all else stays text.

    Pydantic turns text into numbers where a field needs them.
    """
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def _bounded(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"HEADSTART_MAX_JSON_BYTES allows a body of {limit} bytes.")
    except ClientDisconnect:
        raise InvalidRequest("The connection was closed before the body had ended.") from None
    return bytes(body)


def _json_object(body: bytes) -> Fields:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"expected a JSON object. Received: {type(value).__name__}")
    return value


def require_no_dataset(fields: Fields) -> None:
    """Check the fields that come with an archive: they may not name a dataset, too.

    Raises:
        InvalidRequest: they do.
    """
    if fields.get("dataset") is not None:
        raise InvalidRequest("dataset: expected either a dataset or an archive. Received: both")
