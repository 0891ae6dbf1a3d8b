"""Limits how many requests with files are received at once, and how much memory they take."""

import asyncio
from http import HTTPStatus

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Unavailable
from shared.http.guard.paths import Paths
from shared.http.guard.places import Place, Places
from shared.http.problems import problem_response
from shared.http.sending import Sending
from shared.http.server.connections import SLOW_BYTES_PER_SECOND

RETRY_SECONDS = 5


class ConcurrentUploads:
    """ASGI middleware: answers 503 if too many requests with files are received at once.

    The 503 comes before the body is read. A slow client keeps its place until another request
    needs it; then the slow one gets 408.

    Args:
        app: the application that receives the files.
        most: how many requests may be received at once.
        setting: the environment variable of `most`.
        paths: the paths that receive files.
        most_bytes: how many bytes all bodies may have together; None if they are not kept in
            memory.
        bytes_setting: the environment variable of `most_bytes`.
    """

    def __init__(  # noqa: PLR0913 - two limits with their names
        self,
        app: ASGIApp,
        *,
        most: int,
        setting: str,
        paths: Paths,
        most_bytes: int | None = None,
        bytes_setting: str = "",
    ) -> None:
        self._app = app
        self._paths = paths
        self._places = Places(most, most_bytes)
        self._full = f"{setting} allows {most} requests with files at once. Try again soon."
        self._no_room = (
            f"{bytes_setting} allows {most_bytes} bytes of requests in memory at once. "
            "Try again soon."
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_counted(scope):
            return await self._app(scope, receive, send)
        place = self._places.enter(_current_task())
        if place is None:
            return await _refuse(self._full, scope, receive, send)
        try:
            if not self._places.announce(place, _announced(scope)):
                return await _refuse(self._no_room, scope, receive, send)
            await self._serve(place, scope, receive, send)
        finally:
            self._places.leave(place)

    async def _serve(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        sending = Sending(send)
        try:
            await self._app(scope, self._counting(place, receive), sending)
        except asyncio.CancelledError:
            if not place.given_up or sending.begun:
                raise
            place.task.uncancel()
            await _answer_timeout(scope, receive, send)

    def _counting(self, place: Place, receive: Receive) -> Receive:
        complete = False

        async def receive_and_count() -> Message:
            nonlocal complete
            if complete:  # the next message says that the client has left
                return await receive()
            self._places.wait(place)
            message = await receive()
            complete = not message.get("more_body", False)
            if not self._places.receive(place, len(message.get("body", b""))):
                raise Unavailable(self._no_room, RETRY_SECONDS)
            return message

        return receive_and_count

    def _is_counted(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] in self._paths
            and has_files(HTTPConnection(scope))
        )


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a request is served by one
    return task


def _announced(scope: Scope) -> int:
    length = HTTPConnection(scope).headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def _refuse(detail: str, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Retry-After": str(RETRY_SECONDS)}
    response = problem_response(Unavailable.status, Unavailable.title, detail, headers=headers)
    await response(scope, receive, send)


async def _answer_timeout(scope: Scope, receive: Receive, send: Send) -> None:
    status = HTTPStatus.REQUEST_TIMEOUT
    detail = (
        f"Less than {SLOW_BYTES_PER_SECOND} bytes a second of this request arrived, and others "
        "needed its place."
    )
    headers = {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
    response = problem_response(status, status.phrase, detail, headers=headers)
    await response(scope, receive, send)


def has_files(request: HTTPConnection) -> bool:
    """Return whether the body of a request is an upload, which is anything but JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind != "application/json"
