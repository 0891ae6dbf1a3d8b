"""Ends requests whose clients have stopped sending, so that they do not hold up others."""

import asyncio
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class SilenceTimeout:
    """ASGI middleware: answers 408 if nothing more of a body comes for a while.

    A client may be slow, as long as it sends something.

    Args:
        app: the application that reads the bodies.
        seconds: how long a client may send nothing.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:  # the next message says that the client has left; that may take long
                return await receive()
            try:
                async with asyncio.timeout(self._seconds):
                    message = await receive()
            except TimeoutError:
                raise self._silent() from None
            complete = not message.get("more_body", False)
            return message

        return await self._app(scope, receive_in_time, send)

    def _silent(self) -> HTTPException:
        detail = f"No more of the request arrived for HEADSTART_SILENCE_SECONDS={self._seconds:g}."
        headers = {"Connection": "close"}
        return HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, headers)
