"""Separate threads for calls that may wait for Redis, or take much memory."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

T = TypeVar("T")

SUBMISSIONS = 8
PROBES = 2
#: What has all images of a dataset in memory takes a gigabyte for a million of them.
WHOLE = 1


class Threads:
    """Runs submissions, probes and work on whole datasets in threads, each with its own limit.

    Calls beyond the limit wait, without holding up other requests.
    """

    def __init__(self) -> None:
        self._submissions = CapacityLimiter(SUBMISSIONS)
        self._probes = CapacityLimiter(PROBES)
        self._measures = CapacityLimiter(1)
        self._whole = CapacityLimiter(WHOLE)

    async def submit(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that submits a step to the queue, in a thread, and return its result."""
        return await run_sync(partial(function, *arguments), limiter=self._submissions)

    async def measure(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that reads much of the disk, in a thread; one such call at a time."""
        return await run_sync(partial(function, *arguments), limiter=self._measures)

    async def work_on_whole(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that has all images of a dataset in memory, in a thread."""
        return await run_sync(partial(function, *arguments), limiter=self._whole)

    async def probe(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in a thread; on cancellation, the thread runs on by itself."""
        call = partial(function, *arguments)
        return await run_sync(call, limiter=self._probes, abandon_on_cancel=True)
