"""Threads for what may have to wait for Redis, so that everything else has threads, too."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

T = TypeVar("T")

SUBMISSIONS = 8
PROBES = 2


class Threads:
    """Both are bounded; what is beyond waits, and is in nobody else's way."""

    def __init__(self) -> None:
        self._submissions = CapacityLimiter(SUBMISSIONS)
        self._probes = CapacityLimiter(PROBES)

    async def submit(self, function: Callable[..., T], *arguments: object) -> T:
        return await run_sync(partial(function, *arguments), limiter=self._submissions)

    async def probe(self, function: Callable[..., T], *arguments: object) -> T:
        """Call what may be given up while it still waits."""
        call = partial(function, *arguments)
        return await run_sync(call, limiter=self._probes, abandon_on_cancel=True)
