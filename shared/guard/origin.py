"""Refuses what a website makes its visitors' browsers send here.

A service on 127.0.0.1 without a key is open to its own machine, and so to every page that a
browser on it shows: a form needs nobody's leave to be sent. Browsers say where a request comes
from; programs, which say nothing, are no danger of this kind.
"""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.problems import problem_response

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """Answers 403 to a request that changes something and was made by another origin's page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            return await self._app(scope, receive, send)
        origin = foreign_origin(HTTPConnection(scope))
        if origin is None:
            return await self._app(scope, receive, send)
        detail = f"Pages of other origins may not use this service. Received: {origin!r}"
        return await problem_response(403, "Forbidden", detail)(scope, receive, send)


def foreign_origin(request: HTTPConnection) -> str | None:
    """Return the other origin that a browser says has made the request, or None."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if site is not None:  # only on https and localhost, but right behind every proxy too
        return None if site in {"same-origin", "none"} else origin or site
    if origin is None:
        return None
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        return origin
    return None if host and host == request.headers.get("host") else origin
