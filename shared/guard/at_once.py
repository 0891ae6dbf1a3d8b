"""Bounds how many requests with files are received at once."""

from collections.abc import Collection

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import Unavailable
from shared.problems import problem_response

RETRY_SECONDS = 5


class AtOnce:
    """Answers 503 to the request beyond, before its body is read.

    Args:
        app: what receives them.
        most: how many may be inside at once.
        setting: the variable that says so.
        paths: where they are posted.
    """

    def __init__(self, app: ASGIApp, *, most: int, setting: str, paths: Collection[str]) -> None:
        self._app = app
        self._most = most
        self._setting = setting
        self._paths = frozenset(paths)
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_counted(scope):
            return await self._app(scope, receive, send)
        if self._inside >= self._most:
            return await self._refuse(scope, receive, send)
        # Only the event loop's thread counts.
        self._inside += 1
        try:
            return await self._app(scope, receive, send)
        finally:
            self._inside -= 1

    def _is_counted(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] in self._paths
            and has_files(HTTPConnection(scope))
        )

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"{self._setting} allows {self._most} requests with files at once. Try again soon."
        headers = {"Retry-After": str(RETRY_SECONDS)}
        response = problem_response(Unavailable.status, Unavailable.title, detail, headers=headers)
        await response(scope, receive, send)


def has_files(request: HTTPConnection) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind != "application/json"
