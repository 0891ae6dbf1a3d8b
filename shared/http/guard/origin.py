"""Refuses requests that another website's page makes a browser send.

A service on 127.0.0.1 without a key is open to its own machine, and so to every page in a browser
there, since a page may send a form to any address (CSRF). Browsers name the origin of the page in a
header. Other programs send no such header and can't be abused in this way.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.guard.hosts import LONGEST, OwnHosts
from shared.http.problems import ProblemResponse, problem_response
from shared.http.requests import HEALTH

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SameOrigin:
    """ASGI middleware: answers 421 to a request for a host that is not this service's own.

    It answers 403 to a request that changes something and comes from a page of another origin.
    """

    def __init__(self, app: ASGIApp, hosts: OwnHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host")  # every browser sends it
        if host is not None and not self._hosts.accept(host) and scope["path"] not in HEALTH:
            return _misdirected(host.decode("latin-1"))
        if scope["method"] in SAFE_METHODS:
            return None
        origin = foreign_origin(headers)
        if origin is None:
            return None
        detail = f"Pages of other origins may not use this service. Received: {origin!r}"
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
