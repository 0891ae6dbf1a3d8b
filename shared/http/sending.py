"""How far an answer is, for middleware that may have to finish it."""

from starlette.types import Message, Send


class Sending:
    """An ASGI `send` that remembers what went through it.

    Attributes:
        begun: the status and the headers have been sent.
        complete: so has the last of the body.
    """

    def __init__(self, send: Send) -> None:
        self.begun = False
        self.complete = False
        self._send = send

    async def __call__(self, message: Message) -> None:
        self.begun = True
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)
