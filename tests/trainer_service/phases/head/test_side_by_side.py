"""Work in several threads, whose results come in a fixed order."""

import threading
import time
from contextlib import closing
from functools import partial
from itertools import islice, pairwise

import pytest

from trainer_service.phases.head.regression.side_by_side import side_by_side


def never():
    """Nobody cancels."""


def numbers(first, waits_for, does, check):
    """Yield three numbers once another piece of work is done, and then say that this one is."""
    assert waits_for is None or waits_for.wait(10)
    yield from range(first, first + 3)
    does.set()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_results_come_in_the_order_of_the_pieces_whichever_is_first(order):
    done = [threading.Event() for _ in order]
    waits = {piece: done[before] for before, piece in pairwise(order)}
    pieces = [partial(numbers, 10 * n, waits.get(n), done[n]) for n in range(3)]

    assert list(side_by_side(pieces, 3, never)) == [0, 1, 2, 10, 11, 12, 20, 21, 22]


def threads_of(threads):
    """Return how many threads worked at once, and which."""
    active, most, seen, lock = set(), [0], set(), threading.Lock()

    def piece(check):
        with lock:
            active.add(threading.get_ident())
            seen.add(threading.get_ident())
            most[0] = max(most[0], len(active))
        time.sleep(0.05)
        with lock:
            active.discard(threading.get_ident())
        yield 1

    assert sum(side_by_side([piece] * 4, threads, never)) == 4
    return most[0], seen


def test_no_more_threads_work_than_may():
    assert threads_of(2)[0] == 2
    assert threads_of(1) == (1, {threading.get_ident()})


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_comes_after_what_was_given_before_it(threads):
    def fails(check):
        yield 3
        raise MemoryError("too much")

    results = side_by_side([lambda check: iter([1, 2]), fails, fails], threads, never)
    assert list(islice(results, 3)) == [1, 2, 3]
    with pytest.raises(MemoryError, match="too much"):
        next(results)


def test_a_cancellation_ends_all_pieces_and_waits_for_none(monkeypatch):
    held, ended = threading.Event(), []
    calls = 0

    def computes(name, check):
        try:
            yield name
            held.wait(10)  # as a product of matrices, which can't be ended
            while True:
                check()
                time.sleep(0.01)
        finally:
            ended.append(name)

    def cancelled():
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyError("cancelled")

    started = time.monotonic()
    with pytest.raises(KeyError):
        list(side_by_side([partial(computes, "a"), partial(computes, "b")], 2, cancelled))
    assert time.monotonic() - started < 5
    assert not ended
    held.set()
    deadline = time.monotonic() + 10
    while len(ended) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(ended) == ["a", "b"]


def test_whoever_wants_no_more_ends_the_work():
    ended = threading.Event()

    def endless(check):
        try:
            while True:
                check()
                yield 1
                time.sleep(0.001)
        finally:
            ended.set()

    with closing(side_by_side([endless], 2, never)) as work:
        assert next(work) == 1
    assert ended.wait(10)
