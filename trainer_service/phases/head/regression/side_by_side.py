"""Does several pieces of work at a time, and hands over what they give in a fixed order.

NumPy leaves the interpreter to other threads while it computes, so a thread for each core is enough
to keep all of them busy. What is handed over does not depend on which thread is how fast.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeVar

T = TypeVar("T")

Check = Callable[[], None]

#: Seconds between two checks for a cancellation while nothing comes.
CHECKED_EVERY = 0.3


class _Ended(Exception):
    """Nobody wants the rest."""


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a piece of work, by an error or without one."""

    error: BaseException | None


def side_by_side(
    pieces: Sequence[Callable[[Check], Iterator[T]]], threads: int, check_cancelled: Check
) -> Iterator[T]:
    """Yield all that the first piece of work gives, then all that the second one gives, and so on.

    The last piece is begun first, and then the others in their order: so put the longest last. If
    one raises an error, it is raised after what the pieces before it have given.

    Args:
        pieces: each is called in one of the threads, with a function that it has to call about
            every 0.3 s, and whose error it has to let pass.
        threads: how many pieces are worked on at a time. If it is 1, that is done in this thread,
            as the results are asked for. If there are more, matrix products should have one each.
        check_cancelled: called in this thread, about as often. What it raises ends all the work,
            as does closing this iterator. A thread ends at its next check, and nothing waits for
            it.
    """
    if threads == 1:
        return chain.from_iterable(piece(check_cancelled) for piece in pieces)
    return _in_threads(pieces, threads, check_cancelled)


def _in_threads(
    pieces: Sequence[Callable[[Check], Iterator[T]]], threads: int, check_cancelled: Check
) -> Iterator[T]:
    ended = Event()
    given: list[SimpleQueue[T | _End]] = [SimpleQueue() for _ in pieces]

    def work(place: int) -> None:
        given[place].put(_carry_out(pieces[place], given[place], ended))

    pool = ThreadPoolExecutor(threads, "side-by-side")
    try:
        for place in range(-1, len(pieces) - 1):
            pool.submit(work, place)
        for queue in given:
            while not isinstance(one := _next_of(queue, check_cancelled), _End):
                yield one
            if one.error is not None:
                raise one.error
    finally:
        ended.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _carry_out(
    piece: Callable[[Check], Iterator[T]], given: SimpleQueue[T | _End], ended: Event
) -> _End:
    """Put what a piece of work gives on its queue, until all is ended, and return how it ended."""

    def check() -> None:
        if ended.is_set():
            raise _Ended

    try:
        for one in piece(check):
            given.put(one)
    except BaseException as raised:  # noqa: BLE001 - it is raised where it can be handled
        return _End(raised)
    return _End(None)


def _next_of(queue: SimpleQueue[T | _End], check_cancelled: Check) -> T | _End:
    while True:
        check_cancelled()
        try:
            return queue.get(timeout=CHECKED_EVERY)
        except Empty:
            continue
