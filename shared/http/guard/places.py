"""Tracks the requests that send files: how slow they are, and how much memory they take."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from shared.http.server.connections import SLOW_BYTES_PER_SECOND, SLOW_SECONDS


class Place:
    """One request with files, from its first byte to its answer.

    Attributes:
        task: the task that serves the request.
        bytes: how many bytes of its body have been received.
        given_up: whether the request was ended since others needed its place or memory.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.bytes = 0
        self.given_up = False
        # Only time spent waiting for the client counts; the service itself may be slow.
        self._waiting_since: float | None = None
        self._waited = 0.0
        self._bytes_before = 0

    def wait(self, now: float) -> None:
        """Note that the service waits for the client from now on."""
        self._waiting_since = now

    def receive(self, size: int, now: float) -> None:
        """Note that `size` bytes of the body have come."""
        self._waited = self._waited_until(now)
        self._waiting_since = None
        self.bytes += size
        if self.bytes - self._bytes_before >= SLOW_BYTES_PER_SECOND * self._waited:
            self._waited, self._bytes_before = 0.0, self.bytes

    def slow_for(self, now: float) -> float:
        """Return for how many seconds the client has sent too slowly; 0 if nothing is expected."""
        return 0.0 if self._waiting_since is None else self._waited_until(now)

    def _waited_until(self, now: float) -> float:
        since = self._waiting_since
        return self._waited if since is None else self._waited + now - since


class Places:
    """Limits how many requests with files there are at once, and how much memory they take.

    Half of the bytes is divided evenly among the places, so a small request always has room. A
    request that needs more than its share takes it from the other half.

    Use it in the event loop only.

    Args:
        most: how many requests there may be at once.
        most_bytes: how many bytes all bodies may have together; None if they are not kept in
            memory.
        clock: returns the time in seconds; it never goes back.
    """

    def __init__(
        self, most: int, most_bytes: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._share = (most_bytes or 0) // 2 // most
        self._common = math.inf if most_bytes is None else most_bytes - self._share * most
        self._common_taken = 0
        self._clock = clock
        self._taken: set[Place] = set()

    def enter(self, task: asyncio.Task[Any]) -> Place | None:
        """Return a place, if need be that of the slowest client; None if all are taken."""
        if len(self._taken) >= self._most and not self._give_up_slowest(self._taken):
            return None
        place = Place(task)
        self._taken.add(place)
        return place

    def leave(self, place: Place) -> None:
        """Free the place and the memory of a request."""
        if place in self._taken:
            self._taken.remove(place)
            self._common_taken -= self._beyond_share(place.bytes)

    def announce(self, place: Place, size: int) -> bool:
        """Return whether there is room for `size` bytes, if need be by ending slow requests."""
        return self._make_room(self._beyond_share(size), place)

    def wait(self, place: Place) -> None:
        """Note that the service waits for the client of a place from now on."""
        place.wait(self._clock())

    def receive(self, place: Place, size: int) -> bool:
        """Count bytes that were received, and return whether there is room, as `announce` does."""
        if place.given_up:
            return False
        before = self._beyond_share(place.bytes)
        place.receive(size, self._clock())
        self._common_taken += self._beyond_share(place.bytes) - before
        return self._make_room(0, place)

    def _beyond_share(self, size: int) -> int:
        return max(0, size - self._share)

    def _make_room(self, size: int, place: Place) -> bool:
        own = self._beyond_share(place.bytes)
        if not own + size:
            return True
        # A request always gets in if no other takes memory; its own size has a limit elsewhere.
        while self._common_taken > own and self._common_taken + size > self._common:
            others = (p for p in self._taken if p is not place and self._beyond_share(p.bytes))
            if not self._give_up_slowest(others):
                return False
        return True

    def _give_up_slowest(self, places: Iterable[Place]) -> bool:
        now = self._clock()
        slowest = max(places, key=lambda place: place.slow_for(now), default=None)
        if slowest is None or slowest.slow_for(now) < SLOW_SECONDS:
            return False
        slowest.given_up = True
        self.leave(slowest)
        slowest.task.cancel()
        return True
