"""How an HTTP service ends: what has begun is answered, what comes is sent away."""

import asyncio
import math
import socket
from collections.abc import Awaitable
from contextlib import suppress

import uvicorn
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import Unavailable
from shared.problems import problem_response
from shared.security_headers import SecurityHeaders

LOOK_SECONDS = 0.02
RETRY_SECONDS = 1
_SHUT = "headstart.shut"


class Gate:
    """ASGI application: `app` until it is shut, then 503 to every request that begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._current = app
        self._shut = asyncio.Event()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        scope[_SHUT] = self._shut
        return self._current(scope, receive, send)

    def shut(self) -> None:
        self._current = SecurityHeaders(_send_away)
        self._shut.set()


async def pause(request: Request, seconds: float) -> bool:
    """Sleep, and return whether the service goes on; if it ends, at once."""
    shut: asyncio.Event = request.scope.get(_SHUT) or asyncio.Event()
    with suppress(TimeoutError):
        await asyncio.wait_for(shut.wait(), seconds)
    return not shut.is_set()


async def _send_away(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "This process ends. Ask again, on another connection."
    headers = {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
    response = problem_response(Unavailable.status, Unavailable.title, detail, headers=headers)
    await response(scope, receive, send)


class DrainingServer(uvicorn.Server):
    """Keeps open connections while requests are worked on; uvicorn alone cuts the idle ones.

    New ones are refused: nothing was sent on them, so proxies go elsewhere without asking.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, seconds: int) -> None:
        super().__init__(config)
        self._gate = gate
        self._seconds = seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        self._gate.shut()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                # uvicorn has no event for either.
                while self.server_state.tasks and not self.force_exit:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        # What is left of it is for answers that are still being sent.
        self.config.timeout_graceful_shutdown = max(0, math.ceil(deadline - clock()))
        await super().shutdown(sockets)
