"""Refuses requests that another website's page makes a browser send.

A service on 127.0.0.1 without a key is open to its own machine, and so to every page in a browser
there, since a page may send a form to any address (CSRF). Browsers name the origin of the page in a
header. Other programs send no such header and can't be abused in this way.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.guard.allowed_origins import AllowedOrigins
from shared.http.guard.hosts import LONGEST, OwnHosts
from shared.http.problems import ProblemResponse, problem_response
from shared.http.requests import HEALTH

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """ASGI middleware: answers 421 to a request for a host that is not this service's own.

    It answers 403 to a request that changes something and comes from a page of another origin,
    unless that is allowed.
    """

    def __init__(self, app: ASGIApp, hosts: OwnHosts, allowed: AllowedOrigins) -> None:
        self._app = app
        self._hosts = hosts
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if self._allowed:
            send = _varying(send)
        headers = dict(scope["headers"])
        origin = foreign_origin(headers)
        app = self._wrong_host(headers, scope["path"]) or self._app
        if origin is not None and self._allowed.accept(origin, scope):
            return await self._allowed.answer(app, scope, receive, send, origin)
        if app is self._app and origin is not None and scope["method"] not in SAFE_METHODS:
            app = _foreign(origin)
        return await app(scope, receive, send)

    def _wrong_host(self, headers: Mapping[bytes, bytes], path: str) -> ProblemResponse | None:
        host = headers.get(b"host")  # every browser sends it
        if host is None or self._hosts.accept(host) or path in HEALTH:
            return None
        return _misdirected(host.decode("latin-1"))


def _varying(send: Send) -> Send:
    """Return a `send` that tells caches that the page of another origin gets another answer."""

    async def send_varying(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Origin")
        await send(message)

    return send_varying


def _foreign(origin: str) -> ProblemResponse:
    detail = (
        "Pages of other origins may not use this service, unless HEADSTART_ALLOWED_ORIGINS lists "
        f"them, and then only to ask and to post images. Received: {origin!r}"
    )
    return problem_response(403, "Forbidden", detail)


def _misdirected(host: str) -> ProblemResponse:
    detail = (
        "Expected the address of this service, a local name, or one that HEADSTART_ALLOWED_HOSTS "
        f"lists. Received: {host[:LONGEST]!r}"
    )
    return problem_response(421, "Misdirected Request", detail)


def foreign_origin(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the origin of the page that made a request, or None if it is our own or unknown.

    Args:
        headers: the headers of the request, with lower-case names.
    """
    origin = headers.get(b"origin")
    site = headers.get(b"sec-fetch-site")
    if site is not None:  # sent to https and localhost only, but correct behind any proxy
        return None if site in {b"same-origin", b"none"} else (origin or site).decode("latin-1")
    if origin is None:
        return None
    text = origin.decode("latin-1")
    try:
        host = urlsplit(text).netloc
    except ValueError:
        return text
    return None if host and host.encode("latin-1") == headers.get(b"host") else text
