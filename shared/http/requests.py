"""Gives every HTTP request an id, logs it, and counts it."""

import re
import secrets
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import clear_contextvars

from shared.http.metrics import METRICS_PATH, HttpMetrics
from shared.logs import bind, get_logger

#: An id that the client or a proxy sent is kept if it has this form.
REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
HEADER = b"x-request-id"

#: Open to everybody, under any host name: probes have no key.
HEALTH = frozenset({"/healthz", "/readyz"})
#: Probes call these all the time, so they are logged at `debug`.
PROBED = HEALTH | {METRICS_PATH}
LONGEST_PATH = 500

log = get_logger(__name__)


class Requests:
    """ASGI middleware, the outermost: gives each request an id, and logs and counts its answer.

    The id is sent back in the header `X-Request-ID`. The line in the log has the fields that the
    routes have bound, such as the model.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = _request_id(scope)
        clear_contextvars()
        bind(request_id=own_id.decode())
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, own_id)]
            await send(message)

        started = perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - started
            self._metrics.observe(scope, status, seconds)
            _log_answer(scope, status, seconds)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == HEADER and REQUEST_ID.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()


def _log_answer(scope: Scope, status: int | None, seconds: float) -> None:
    path = scope["path"][:LONGEST_PATH]
    say = log.debug if path in PROBED else log.info
    say("answered", method=scope["method"], path=path, status=status, seconds=round(seconds, 4))
