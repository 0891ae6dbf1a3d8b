"""Lets the pages of listed origins use a service: CORS, for data that is asked for and posted.

The trainer's page asks the predictor, and the predictor's page sends images to the trainer. Such a
page has to send a key, if keys are set: the cookie of the service's own page counts only there.
"""

from collections.abc import Collection, Mapping

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.guard.paths import Paths

#: Nothing is removed, replaced or decided from another page: it only posts images. Nor can it plant
#: a session, with which whoever uses the service's own page would do so under the key of others.
METHODS = frozenset({"GET", "HEAD", "POST"})
#: The headers that such a page may send, besides those that any page may.
HEADERS = "Authorization, Content-Type, Idempotency-Key"
PREFLIGHT_SECONDS = 600


class AllowedOrigins:
    """The origins whose pages may use a service.

    Args:
        origins: as browsers write them: `https://predictor.example`.
        posts: the paths that such a page may post to.
    """

    def __init__(self, origins: Collection[str], posts: Paths) -> None:
        self._origins = frozenset(origins)
        self._posts = posts

    def __bool__(self) -> bool:
        return bool(self._origins)

    def accept(self, origin: str | None, scope: Scope) -> bool:
        """Return whether a page of this origin may send this request."""
        if origin not in self._origins:
            return False
        if scope["method"] == "POST":
            return scope["path"] in self._posts
        return scope["method"] in METHODS or _is_preflight(scope)

    def readable_by(self, origin: str) -> Mapping[str, str]:
        """Return the headers by which a page of an origin reads an answer; none if it may not."""
        if origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Retry-After",
        }

    async def answer(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, origin: str
    ) -> None:
        """Have an accepted request answered, so that the page can read the answer."""
        if _is_preflight(scope):
            response = Response(status_code=204, headers=_permission(origin))
            return await response(scope, receive, send)

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.readable_by(origin))
            await send(message)

        return await app(_without_cookies(scope), receive, send_readable)


def _is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks with this request what a page may send."""
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in names


def _permission(origin: str) -> Mapping[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": ", ".join(sorted(METHODS)),
        "Access-Control-Allow-Headers": HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def _without_cookies(scope: Scope) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
    return {**scope, "headers": headers}
