"""Tracks how much of an answer has been sent, for middleware that may have to finish it."""

from starlette.types import Message, Send


class Sending:
    """An ASGI `send` that remembers how much of the answer has been sent.

    Attributes:
        begun: whether the status and the headers have been sent.
        complete: whether all of the body has been sent.
    """

    def __init__(self, send: Send) -> None:
        self.begun = False
        self.complete = False
        self._send = send

    async def __call__(self, message: Message) -> None:
        self.begun = True
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)
