"""Waits for trainings, or comparisons, to end, on behalf of any number of clients."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from shared.errors import NotFound
from trainer_service.store.records.record_index import Stamp
from trainer_service.store.records.record_store import RecordStore

POLL_INTERVAL = 0.1


class _State(Protocol):
    @property
    def ended(self) -> bool: ...


class _Record(Protocol):
    @property
    def state(self) -> _State: ...


R = TypeVar("R", bound=_Record)


@dataclass(slots=True)
class _Poll:
    task: asyncio.Task[None]
    waiting: int = 0


class Endings:
    """Polls each training that clients wait for, once for all of them.

    Args:
        trainings: the store of the trainings, or of the comparisons.
    """

    def __init__(self, trainings: RecordStore[Any]) -> None:
        self._trainings = trainings
        self._polls: dict[str, _Poll] = {}

    async def wait(self, training_id: str) -> None:
        """Wait until the training has ended or was deleted; cancel this to stop waiting."""
        poll = self._polls.get(training_id)
        if poll is None or poll.task.done():
            poll = self._polls[training_id] = _Poll(asyncio.create_task(self._poll(training_id)))
        poll.waiting += 1
        try:
            await asyncio.shield(poll.task)
        finally:
            poll.waiting -= 1
            if not poll.waiting:
                poll.task.cancel()
                if self._polls.get(training_id) is poll:
                    del self._polls[training_id]

    async def _poll(self, training_id: str) -> None:
        known: Stamp | None = None
        ended = False
        while not ended:
            await asyncio.sleep(POLL_INTERVAL)
            known, ended = await asyncio.to_thread(self._has_ended, training_id, known)

    def _has_ended(self, training_id: str, known: Stamp | None) -> tuple[Stamp | None, bool]:
        """Return the record's current stamp, and whether it has changed and now says ended."""
        try:
            stamp = self._trainings.stamp(training_id)
            return stamp, stamp != known and bool(self._trainings.get(training_id).state.ended)
        except NotFound:
            return known, True


async def read_once_ended(
    read: Callable[[], R],
    ended: Callable[[], Coroutine[Any, Any, None]],
    seconds: float,
    *reasons: Callable[[], Coroutine[Any, Any, None]],
) -> R:
    """Return a record as soon as what it is of has ended, or after `seconds`.

    Args:
        read: returns the record; called in a thread.
        ended: a coroutine function that returns once it has ended.
        seconds: how long to wait at most.
        reasons: coroutine functions; the wait also ends when one of them returns or raises, and
            its exception is passed on.
    """
    record = await asyncio.to_thread(read)
    if record.state.ended or not seconds:
        return record
    await first(seconds, ended(), *(reason() for reason in reasons))
    return await asyncio.to_thread(read)


async def first(seconds: float, *waits: Coroutine[Any, Any, None]) -> None:
    """Wait until the first of some coroutines returns, or for `seconds`; cancel the others.

    An exception of the first one is raised.
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
