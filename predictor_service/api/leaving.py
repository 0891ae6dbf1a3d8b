"""Ends the work on a request whose client has left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from shared.errors import InvalidRequest


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the body of the `with` as soon as the client has left.

    Args:
        receive: the `receive` of a request whose body has been read.

    Raises:
        InvalidRequest: the client has left; this is only logged.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a request is served by one
    watch = asyncio.create_task(_watch(receive, task))
    try:
        yield
    except asyncio.CancelledError:
        if not watch.done() or task.uncancel():
            raise  # cancelled for another reason
        raise InvalidRequest("The client left before it was answered.") from None
    finally:
        watch.cancel()


async def _watch(receive: Receive, task: asyncio.Task[object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
