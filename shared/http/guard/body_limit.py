"""Limits the bodies that routes read into memory as a whole."""

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.guard.access import is_open
from shared.http.guard.paths import Paths
from shared.http.problems import problem_response

STATUS = 413
#: The limit for paths that need no key, such as the sign-in.
MOST_OPEN_BYTES = 16 << 10


class BodyLimit:
    """ASGI middleware: answers 413 to a body whose Content-Length or actual size is too large.

    Args:
        app: the application that reads the bodies.
        max_bytes: the largest body that it gets; where no key is asked for, `MOST_OPEN_BYTES`.
        streamed: paths that have limits of their own.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Paths) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._streamed:
            return await self._app(scope, receive, send)
        limit, detail = self._limit_of(scope["path"])
        announced = HTTPConnection(scope).headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            return await problem_response(STATUS, "Too large", detail)(scope, receive, send)
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # FastAPI would answer 400 to any other error while it reads a body.
                raise HTTPException(STATUS, detail)
            return message

        return await self._app(scope, receive_within_limit, send)

    def _limit_of(self, path: str) -> tuple[int, str]:
        """Return how many bytes a body may have, and the sentence that says so."""
        if is_open(path) and self._max_bytes > MOST_OPEN_BYTES:
            return MOST_OPEN_BYTES, f"Without a key, a body may have {MOST_OPEN_BYTES} bytes."
        setting = f"HEADSTART_MAX_JSON_BYTES allows a body of {self._max_bytes} bytes."
        return self._max_bytes, setting
