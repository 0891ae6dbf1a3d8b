"""Follows the events of trainings as they happen, for any number of clients."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.logs import get_logger
from trainer_service.store.events.event import EndEvent
from trainer_service.store.events.event_log import FIELD, EventLog, stream_key
from trainer_service.store.events.events import Event, event_adapter

#: How often the store is read while no events come from Redis.
BLOCK_SECONDS = 5.0
#: How often the store is read while Redis can't be used.
POLL_SECONDS = 0.5
#: Events of a training kept in memory for its clients; those further behind read the store.
RECENT = 500

log = get_logger(__name__)


class EventStreams:
    """Streams of events that end with the result, or when the training is removed.

    One task reads the events of a training for all clients that follow it.

    Args:
        events: the log of events in the store.
        redis_url: the Redis on which they are announced.
    """

    def __init__(self, events: EventLog, redis_url: str) -> None:
        self._events = events
        self._redis_url = redis_url
        self._tails: dict[str, _Tail] = {}

    async def follow(self, training_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Yield the events whose ids are greater than `after`, each once and in order."""
        with self._tail(training_id) as tail:
            while True:
                changed = tail.changed
                events = tail.recent_after(after)
                if events is None:
                    events = await asyncio.to_thread(self._events.read, training_id, after, RECENT)
                for event in events:
                    yield event
                    after = event.id
                    if isinstance(event, EndEvent):
                        return
                if not events:
                    if tail.ended or tail.is_removed():
                        return
                    await changed.wait()

    @property
    def followers(self) -> int:
        """The number of clients that follow a training now."""
        return sum(tail.followers for tail in list(self._tails.values()))

    @contextmanager
    def _tail(self, training_id: str) -> Iterator["_Tail"]:
        tail = self._tails.get(training_id)
        if tail is None or tail.has_failed:  # its followers may not have noticed the failure yet
            tail = _Tail(self._events, self._redis_url, training_id)
            self._tails[training_id] = tail
        tail.followers += 1
        try:
            yield tail
        finally:
            tail.followers -= 1
            if tail.followers == 0:
                tail.stop()
                if self._tails.get(training_id) is tail:
                    del self._tails[training_id]


class _Tail:
    """The last events of one training, kept up to date by a task of its own.

    Attributes:
        followers: how many clients follow the training.
        changed: set at the next change, and then replaced; so take it before reading the events.
    """

    def __init__(self, events: EventLog, redis_url: str, training_id: str) -> None:
        self.followers = 0
        self.changed = asyncio.Event()
        self._events = events
        self._redis_url = redis_url
        self._training_id = training_id
        self._last: int | None = None
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._is_closing = False
        self.task = asyncio.create_task(self._run(), name=f"events of {training_id}")
        self.task.add_done_callback(lambda _: self._notify())

    def stop(self) -> None:
        """End the reading. One that ends by itself is left to close its connection."""
        if not self._is_closing:
            self.task.cancel()

    @property
    def ended(self) -> bool:
        return bool(self._recent) and isinstance(self._recent[-1], EndEvent)

    @property
    def has_failed(self) -> bool:
        return self.task.done() and not self.ended

    def is_removed(self) -> bool:
        """Return whether the task has ended since the training was removed.

        Raises:
            Exception: what else has ended the task.
        """
        if not self.task.done():
            return False
        self.task.result()
        return True

    def recent_after(self, after: int) -> list[Event] | None:
        """Return the events with ids greater than `after`; None if not all of them are here."""
        if self._last is None or (after < self._last and not self._covers(after)):
            return None
        return [event for event in self._recent if event.id > after]

    def _covers(self, after: int) -> bool:
        return bool(self._recent) and self._recent[0].id <= after + 1

    async def _run(self) -> None:
        last = await asyncio.to_thread(self._events.last, self._training_id)
        self._last = 0
        self._add([last] if last else [])
        async with _connection(self._redis_url) as redis:
            try:
                await self._read(redis)
            finally:
                self._is_closing = True

    async def _read(self, redis: Redis) -> None:
        """Read events until the result, or until the training is removed."""
        while not self.ended:
            events = await self._announced(redis)
            if not self._follow_on(events):
                read = self._events.read
                after = self._last or 0
                events = await asyncio.to_thread(read, self._training_id, after, RECENT)
                removed = self._events.is_removed
                if not events and await asyncio.to_thread(removed, self._training_id):
                    return
            self._add(events)

    async def _announced(self, redis: Redis) -> list[Event]:
        """Return new events from Redis; none if it is time to read the store."""
        try:
            streams: Any = {stream_key(self._training_id): f"{self._last}-0"}
            answer: Any = await redis.xread(streams, count=RECENT, block=int(BLOCK_SECONDS * 1000))
            entries = answer[0][1] if answer else []
            return [event_adapter.validate_json(fields[FIELD]) for _, fields in entries]
        except (RedisError, OSError, ValueError, KeyError) as error:
            log.debug("events are read from the store", reason=str(error))
            await asyncio.sleep(POLL_SECONDS)
            return []

    def _follow_on(self, events: list[Event]) -> bool:
        """Return whether there are events, and they follow the last known one without gaps."""
        ids = [self._last or 0, *(event.id for event in events)]
        return bool(events) and all(after == before + 1 for before, after in pairwise(ids))

    def _add(self, events: list[Event]) -> None:
        if events:
            self._recent.extend(events)
            self._last = events[-1].id
            self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=BLOCK_SECONDS + 2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        protocol=2,
    )
    try:
        yield redis
    finally:
        with suppress(RedisError, OSError):
            await redis.aclose()
