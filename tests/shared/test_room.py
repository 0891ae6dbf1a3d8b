"""Threads that together want more than there is."""

import threading
from contextlib import suppress

from shared.room import Room
from tests.support.processes.predictor_process import wait_for


class Taker(threading.Thread):
    """Takes an amount, and keeps it until it is told to let go."""

    def __init__(self, room, amount, capacity=10):
        super().__init__(daemon=True)
        self.inside, self.enough = threading.Event(), threading.Event()
        self._taking = room.taken(amount, capacity)
        self.start()

    def run(self):
        with self._taking:
            self.inside.set()
            assert self.enough.wait(20)


def test_what_fits_is_let_in_and_what_does_not_waits():
    room = Room()
    first, second = Taker(room, 4), Taker(room, 6)
    assert first.inside.wait(10)
    assert second.inside.wait(10)
    third = Taker(room, 1)

    assert not third.inside.wait(0.05)
    first.enough.set()

    assert third.inside.wait(10)
    second.enough.set()
    third.enough.set()


def test_a_large_request_is_not_overtaken_by_small_ones():
    room = Room()
    first = Taker(room, 4)
    assert first.inside.wait(10)
    much = Taker(room, 10)
    wait_for(lambda: len(room._waiting) == 1, "the large one to wait")
    little = Taker(room, 1)

    assert not little.inside.wait(0.05)
    first.enough.set()

    assert much.inside.wait(10)
    assert not little.inside.is_set()
    much.enough.set()
    assert little.inside.wait(10)
    little.enough.set()


def test_what_is_larger_than_all_there_is_gets_in_alone():
    room = Room()
    first = Taker(room, 25)
    assert first.inside.wait(10)
    second = Taker(room, 1)

    assert not second.inside.wait(0.05)
    first.enough.set()

    assert second.inside.wait(10)
    second.enough.set()


def test_what_was_taken_is_given_back_whatever_happens():
    room = Room()
    with suppress(KeyError), room.taken(10, 10):
        raise KeyError

    with room.taken(10, 10):
        pass
