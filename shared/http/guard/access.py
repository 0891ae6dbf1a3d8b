"""Asks every request for a key, if keys are set."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import Unauthorized
from shared.http.guard.keys import ApiKeys
from shared.http.problems import CHALLENGE, problem_response
from shared.http.requests import HEALTH

SESSION_PATH = "/v1/session"
SESSION_COOKIE = "headstart_session"

#: Open without a key: health, the files of the pages (which hold no data), and the sign-in.
OPEN_PATHS = HEALTH | {"/", SESSION_PATH}
OPEN_PREFIXES = ("/pages/", "/web/")


class Access:
    """ASGI middleware: answers 401, without reading the body, to a request without a valid key."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._keys or is_open(scope["path"]):
            return await self._app(scope, receive, send)
        error = self._refusal(HTTPConnection(scope))
        if error is None:
            return await self._app(scope, receive, send)
        response = problem_response(error.status, error.title, error.detail, headers=CHALLENGE)
        return await response(scope, receive, send)

    def _refusal(self, request: HTTPConnection) -> Unauthorized | None:
        key = key_of(request)
        if key is not None:
            return None if self._keys.accept(key) else Unauthorized("This API key is not valid.")
        session = request.cookies.get(SESSION_COOKIE)
        if session is not None and self._keys.accept_session(session):
            return None
        return Unauthorized(
            "An API key is needed: expected the header `Authorization: Bearer KEY`, or "
            "`X-API-Key: KEY`. Received: "
            + ("neither, and no session" if session is None else "a session that is not valid")
        )


def is_open(path: str) -> bool:
    """Return whether a path is open to requests without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def key_of(request: HTTPConnection) -> str | None:
    """Return the key that a request's headers carry, if any."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("x-api-key")
