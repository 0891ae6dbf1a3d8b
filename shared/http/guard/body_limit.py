"""Limits the bodies that routes read into memory as a whole."""

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.guard.paths import Paths
from shared.http.problems import problem_response

STATUS = 413


class BodyLimit:
    """ASGI middleware: answers 413 to a body whose Content-Length or actual size is too large.

    Args:
        app: the application that reads the bodies.
        max_bytes: the largest body that it gets.
        streamed: paths that have limits of their own.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Paths) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._streamed:
            return await self._app(scope, receive, send)
        announced = HTTPConnection(scope).headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            return await problem_response(STATUS, "Too large", self._detail)(scope, receive, send)
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                # FastAPI would answer 400 to any other error while it reads a body.
                raise HTTPException(STATUS, self._detail)
            return message

        return await self._app(scope, receive_within_limit, send)

    @property
    def _detail(self) -> str:
        return f"HEADSTART_MAX_JSON_BYTES allows a body of {self._max_bytes} bytes."
