"""Ends the work for clients that have left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from shared.errors import InvalidRequest


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel what is done inside as soon as the client, whose body was read, has left.

    Raises:
        InvalidRequest: it has left; nobody will see this but the log.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a request is served by one
    watch = asyncio.create_task(_watch(receive, task))
    try:
        yield
    except asyncio.CancelledError:
        if not watch.done() or task.uncancel():
            raise  # by others
        raise InvalidRequest("The client left before it was answered.") from None
    finally:
        watch.cancel()


async def _watch(receive: Receive, task: asyncio.Task[object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
