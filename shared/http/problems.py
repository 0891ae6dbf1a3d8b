"""Answers every error as RFC 9457 problem+json; no other module turns errors into answers."""

import errno
import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.documents import reason
from shared.errors import HeadstartError, NotPermitted, StorageFull, Unauthorized, Unavailable
from shared.files import is_disk_full, is_of_the_machine
from shared.http.sending import Sending
from shared.logs import get_logger, request_id

log = get_logger(__name__)

#: How many fields an answer describes, and how many characters of a client's field name it repeats.
#: Without these limits, the answer to a request of a megabyte could have ten.
MOST_FIELDS = 20
LONGEST_FIELD = 200

PROBLEM_TYPE = "application/problem+json"

#: The header that an answer of 401 must have (RFC 9110, 11.6.1).
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headstart"'}


class FieldProblem(BaseModel):
    """One field of a request that was not as expected."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default_factory=list)
    request_id: str | None = Field(
        default=None, description="The id of the request; its lines in the log have it, too."
    )


class ProblemResponse(JSONResponse):
    """A response of problem+json."""

    media_type = PROBLEM_TYPE


def problem_response(
    status: int,
    title: str,
    detail: str,
    errors: list[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """Return a problem+json response with the id of the current request.

    Args:
        status: the HTTP status.
        title: a short name of the kind of error.
        detail: what went wrong, as a sentence.
        errors: the fields that are wrong.
        headers: more headers of the response.
    """
    problem = Problem(
        title=title, status=status, detail=detail, errors=errors or [], request_id=request_id()
    )
    body = problem.model_dump(exclude_defaults=True)
    return ProblemResponse({"type": problem.type, **body}, status, dict(headers or {}))


def describe_validation(errors: list[Any]) -> list[FieldProblem]:
    """Return, for the first few errors, the field, what was expected, and what was received.

    Args:
        errors: the errors of pydantic, of which `MOST_FIELDS` are described.
    """
    return [_field_problem(error) for error in errors[:MOST_FIELDS]]


def add_problem_handlers(app: FastAPI, store: Path | None = None) -> None:
    """Let `app` answer every error, expected or not, as problem+json.

    Args:
        app: the application.
        store: the store that its requests use, if any; answers name files in it, and no others.
    """
    app.add_exception_handler(HeadstartError, _on_headstart_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(UnexpectedErrors, store=store)


#: What a disk or a share answers that is read-only, damaged, away, or does not lock.
_DISK_ERRORS = frozenset(
    {
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.EHOSTDOWN,
        errno.ENODEV,
        errno.EREMOTEIO,
        errno.ENOTCONN,
        errno.ENOLCK,
    }
)


class UnexpectedErrors:
    """ASGI middleware, the innermost: logs an unhandled error and answers it.

    To the middleware around it, that is an answer like any other. If an answer has already begun,
    the error is raised on, which breaks the answer off.

    Args:
        app: the application that it wraps.
        store: the store that its requests use, if any. If its disk or its permissions are at fault,
            the answer says so, and the log has one line. Any other error is answered 500 without
            its reason, and the log has its traceback.
    """

    def __init__(self, app: ASGIApp, store: Path | None) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = Sending(send)
        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:  # the client does not wait for an answer any more
            return
        except Exception as error:
            if sending.begun or scope["type"] != "http":
                raise
            request = {"method": scope["method"], "path": scope["path"]}
            told = _about_the_store(error, self._store)
            if told is None:
                log.exception("failed", **request)
            else:
                log.warning("the store can't be used", **request, reason=str(error))
            answer = _internal_error() if told is None else _answer(told)
            await answer(scope, receive, send)


def _about_the_store(error: Exception, store: Path | None) -> HeadstartError | None:
    """Return what to tell about an error of the store's disk or files; None for others."""
    if is_disk_full(error):
        return StorageFull()
    if not isinstance(error, OSError):
        return None
    if error.errno in _DISK_ERRORS:
        return Unavailable(f"The disk of the store can't be used now: {error.strerror}.")
    file = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
    if store is None or file is None or not file.is_relative_to(store):
        return None
    told = NotPermitted(file.relative_to(store), reason(error))
    if is_of_the_machine(error):
        return Unavailable(told.detail)
    # That a file is gone should have been expected, so it is a bug, whose traceback is needed.
    return None if isinstance(error, FileNotFoundError) else told


def _internal_error() -> ProblemResponse:
    detail = "Something went wrong in the service. The log has the error under this request id."
    return problem_response(500, "Internal error", detail)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return a route's `responses=` for the errors with these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_TYPE: {"schema": _problem_schema()}},
        }
        for status in statuses
    }


def _problem_schema() -> dict[str, Any]:
    """Return the schema without `$defs`, which have no meaning inside an OpenAPI document."""
    schema = Problem.model_json_schema()
    schema["properties"]["errors"]["items"] = schema.pop("$defs")["FieldProblem"]
    return schema


#: The type of an error that `shared.http.query` finds, among those of pydantic.
UNKNOWN_PARAMETER = "unknown_parameter"
#: The errors in which the value that was received says nothing.
_VALUELESS = {"missing", "extra_forbidden", UNKNOWN_PARAMETER}

_WORDS = {
    "extra_forbidden": "there is no such field",
    "int_parsing": "Input should be a whole number",
    "int_from_float": "Input should be a whole number",
    "float_parsing": "Input should be a number",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
}


def _field_problem(error: Mapping[str, Any]) -> FieldProblem:
    location = [str(part) for part in error["loc"]]
    if location and location[0] in {"body", "query", "path"} and len(location) > 1:
        location = location[1:]
    # Pydantic adds the tags of unions, which the client did not send.
    location = [part for part in location if not part.startswith("(")]
    detail = _WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] not in _VALUELESS and not isinstance(error.get("input"), dict | list):
        detail = f"{detail}. Received: {error.get('input')!r}"[:500]
    return FieldProblem(field=".".join(location)[:LONGEST_FIELD] or "request", detail=detail)


async def _on_headstart_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HeadstartError)  # noqa: S101 - registered for this class only
    return _answer(error)


def _answer(error: HeadstartError) -> ProblemResponse:
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers |= CHALLENGE
    return problem_response(error.status, error.title, error.detail, headers=headers)


async def _on_validation_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    found = error.errors()
    errors = describe_validation(list(found))
    sentences = [f"{problem.field}: {problem.detail}" for problem in errors]
    if len(found) > len(errors):
        sentences.append(f"and {len(found) - len(errors)} more")
    detail = "; ".join(sentences)
    return problem_response(422, "Invalid request", detail, errors)


async def _on_http_exception(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    title = HTTPStatus(error.status_code).phrase
    return problem_response(error.status_code, title, str(error.detail), headers=error.headers)
