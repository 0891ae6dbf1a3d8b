"""Answers HEAD wherever GET is answered."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadLikeGet:
    """ASGI middleware: the routes get a HEAD request as GET, and it ends with their headers.

    FastAPI, unlike Starlette, adds no HEAD to a route of GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        with anyio.CancelScope() as routes:

            async def send_head(message: Message) -> None:
                if message["type"] != "http.response.start":
                    return
                scope["method"] = "HEAD"  # the server looks at it, and expects no body then
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                routes.cancel()  # a stream of events would never end by itself

            scope["method"] = "GET"
            try:
                await self._app(scope, receive, send_head)
            finally:
                scope["method"] = "HEAD"
