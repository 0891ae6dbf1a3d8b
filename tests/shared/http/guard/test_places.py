"""Places for requests with files, with a clock of the test's own."""

from unittest.mock import Mock

import pytest

from shared.http.guard.places import SLOW_BYTES_PER_SECOND, SLOW_SECONDS, Place, Places
from tests.support.clock import Clock


@pytest.fixture
def clock():
    return Clock()


def enter(places: Places) -> Place:
    place = places.enter(Mock())
    assert place is not None
    places.wait(place)
    return place


def send(places: Places, place: Place, size: int) -> bool:
    """Receive a piece, and wait for the next one."""
    taken = places.receive(place, size)
    places.wait(place)
    return taken


def test_the_slowest_has_to_go_for_a_new_one(clock):
    places = Places(2, None, clock)
    slow, slower = enter(places), enter(places)
    for _ in range(30):
        clock.now += SLOW_SECONDS / 10
        send(places, slow, 1)
        assert not slower.given_up
    clock.now += 1

    assert places.enter(Mock()) is not None
    assert [slow.given_up, slower.given_up].count(True) == 1


def test_a_fast_client_keeps_its_place(clock):
    places = Places(1, None, clock)
    place = enter(places)
    for _ in range(10):
        clock.now += 1
        send(places, place, SLOW_BYTES_PER_SECOND)

    assert places.enter(Mock()) is None
    assert not place.given_up


def test_a_client_that_became_slow_loses_its_place(clock):
    places = Places(1, None, clock)
    place = enter(places)
    send(places, place, 1 << 30)
    clock.now += SLOW_SECONDS

    assert places.enter(Mock()) is not None
    assert place.given_up
    assert place.task.cancel.called


def test_a_new_client_is_given_time(clock):
    places = Places(1, None, clock)
    enter(places)
    clock.now += SLOW_SECONDS / 2

    assert places.enter(Mock()) is None


def test_a_client_that_waits_for_the_service_is_not_slow(clock):
    places = Places(1, None, clock)
    place = enter(places)
    clock.now += 2 * SLOW_SECONDS
    places.receive(place, 1)
    clock.now += 100

    assert places.enter(Mock()) is None


def test_places_are_free_again(clock):
    places = Places(1, 1000, clock)
    place = enter(places)
    send(places, place, 900)
    places.leave(place)
    places.leave(place)

    again = enter(places)
    assert send(places, again, 1000)


def test_a_small_request_always_has_room(clock):
    places = Places(10, 1000, clock)  # 50 bytes for each, and 500 for all
    first, second, small = enter(places), enter(places), enter(places)
    assert send(places, first, 450)

    assert send(places, second, 150)
    assert not send(places, second, 1)
    assert send(places, small, 50)


def test_a_slow_client_loses_its_place_to_the_bytes_of_others(clock):
    places = Places(10, 1000, clock)
    slow, fast, tiny = enter(places), enter(places), enter(places)
    send(places, tiny, 50)
    send(places, slow, 500)
    clock.now += SLOW_SECONDS

    assert send(places, fast, 400)
    assert slow.given_up
    assert not tiny.given_up  # whose bytes would be of no help
    assert not places.receive(slow, 100)  # nor does it count any more
    assert send(places, fast, 150)


def test_an_announced_body_is_refused_without_room(clock):
    places = Places(10, 1000, clock)
    first, second = enter(places), enter(places)
    send(places, first, 300)

    assert places.announce(second, 300)
    assert not places.announce(second, 301)


def test_a_single_client_may_use_all_bytes_that_others_leave(clock):
    places = Places(10, 1000, clock)
    alone, small = enter(places), enter(places)
    send(places, small, 50)

    assert places.announce(alone, 5000)
    assert send(places, alone, 5000)
    assert not places.announce(small, 51)


def test_bytes_do_not_count_where_they_are_not_kept(clock):
    places = Places(2, None, clock)
    first, second = enter(places), enter(places)

    assert send(places, first, 1 << 40)
    assert send(places, second, 1 << 40)
