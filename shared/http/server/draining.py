"""Ends an HTTP service: requests that have begun are answered, new ones are refused."""

import asyncio
import math
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import Unavailable
from shared.http.problems import problem_response
from shared.http.sending import Sending
from shared.http.server.accepting import Acceptor
from shared.http.server.connections import Lobby

POLL_SECONDS = 0.02
#: The share of all allowed connections that one turn of the event loop accepts at most. Each needs
#: an open file; an idle connection that is closed for it frees its own only a turn later.
SHARE_AT_ONCE = 1 / 16
RETRY_SECONDS = 1


class Gate:
    """Whether a service accepts requests; once it is shut, it stays shut."""

    def __init__(self) -> None:
        self._shut = asyncio.Event()

    def is_shut(self) -> bool:
        """Return whether the gate is shut."""
        return self._shut.is_set()

    def shut(self) -> None:
        """Shut the gate for good."""
        self._shut.set()

    async def wait_until_shut(self) -> None:
        """Wait until the gate is shut."""
        await self._shut.wait()


class RefuseWhileEnding:
    """ASGI middleware: once the gate is shut, answers 503 to new requests and to unfinished ones.

    An unfinished request is one that is not answered before the time for the end is over.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._gate.is_shut():
            return await _send_away(scope, receive, send)
        sending = Sending(send)
        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:  # the time for unfinished requests is over
            if sending.begun or not self._gate.is_shut():
                raise
            await _send_away(scope, receive, send)


async def _send_away(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "This process is ending. Try again on another connection."
    headers = {"Connection": "close", "Retry-After": str(RETRY_SECONDS)}
    response = problem_response(Unavailable.status, Unavailable.title, detail, headers=headers)
    await response(scope, receive, send)


class DrainingServer(uvicorn.Server):
    """A server that, when it ends, keeps its connections until all requests are answered.

    uvicorn's own server cuts idle connections at once. New connections are refused; nothing was
    sent on them, so proxies try another server by themselves.

    Args:
        config: uvicorn's configuration.
        gate: shut when the server begins to end.
        lobby: the connections of the service.
        seconds: how long requests may take to finish.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, lobby: Lobby, seconds: int) -> None:
        super().__init__(config)
        self._gate = gate
        self._lobby = lobby
        self._seconds = seconds
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        most = math.ceil(self._lobby.most * SHARE_AT_ONCE)
        self._acceptors = [Acceptor(listener, self._protocol, most) for listener in sockets or ()]

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def on_tick(self, counter: int) -> bool:
        self._lobby.tidy()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        self._gate.shut()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                # uvicorn has no event for either.
                while self.server_state.tasks and not self.force_exit:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        # The rest of the time is for answers that are still being sent.
        self.config.timeout_graceful_shutdown = max(0, math.ceil(deadline - clock()))
        await super().shutdown(sockets)
