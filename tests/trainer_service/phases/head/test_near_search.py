"""A search near an earlier choice finds what a search of all heads does, wherever that lies."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer_service.phases.head.test_regression_search import (
    TAP_SETS,
    go_on,
    never,
    setup,
    views_of,
)
from trainer_service.phases.head.regression.rows import Near
from trainer_service.phases.head.regression.search import (
    STRENGTHS,
    TURNED,
    next_strength,
    search,
)


def tried(losses, near):
    """The places of the strengths that are tried, if each has this validation loss."""
    known, places = {}, []
    while (strength := next_strength(known, near)) is not None:
        assert strength not in known
        places.append(STRENGTHS.index(strength))
        known[strength] = losses[places[-1]]
    return places


def valley(best, slope):
    """Losses that rise on both sides of the best strength."""
    return [1 + slope * abs(place - best) for place in range(len(STRENGTHS))]


@pytest.mark.parametrize("slope", [0.003, 0.03])
@pytest.mark.parametrize("near", range(len(STRENGTHS)))
@pytest.mark.parametrize("best", range(len(STRENGTHS)))
def test_from_wherever_it_begins_it_comes_to_the_best(best, near, slope):
    losses = valley(best, slope)
    places = tried(losses, STRENGTHS[near])

    assert min(places, key=losses.__getitem__) == best
    beside = {max(best - 1, 0), min(best + 1, len(STRENGTHS) - 1)}
    assert beside <= {*places}, "else the best might lie beyond"
    if abs(best - near) <= 1:
        assert len(places) <= 4


def test_beside_the_best_no_other_is_tried():
    assert tried(valley(4, 0.01), STRENGTHS[4]) == [3, 4, 5]
    assert tried(valley(3, 0.01), STRENGTHS[4]) == [3, 4, 5, 2]
    assert tried(valley(5, 0.01), STRENGTHS[4]) == [3, 4, 5, 6]


def test_clearly_past_the_minimum_no_weaker_one_is_tried():
    assert tried(valley(3, 1.1 * (TURNED - 1)), STRENGTHS[4]) == [3, 4, 2]


def test_without_an_earlier_choice_it_goes_from_strong_to_weak():
    assert tried(valley(2, 0.001), None) == list(range(len(STRENGTHS)))
    assert tried(valley(2, 0.03), None) == [0, 1, 2, 3]


@pytest.fixture(scope="module", params=[(300, 240), (40, 30)], ids=["held out", "cross-validated"])
def whole(request):
    """A question with some wrong labels, and what the search of all heads answers."""
    question = setup(*request.param, informative=(1, 2))
    truth = question.train.truth.copy()
    truth[::6] = (truth[::6] + 1) % 3
    question = replace(question, train=replace(question.train, truth=truth))
    return question, search(question, go_on, never)


@pytest.mark.parametrize("away", [-2, -1, 0, 1, 2])
def test_it_finds_the_head_that_the_search_of_all_finds(whole, away):
    question, all_tried = whole
    begun = Near(all_tried.taps, STRENGTHS[STRENGTHS.index(all_tried.strength) + away])
    near = search(replace(question, near=begun), go_on, never)

    assert near.near is (abs(away) <= 1)
    assert (near.taps, near.strength) == (all_tried.taps, all_tried.strength)
    assert near.cross_validated == all_tried.cross_validated
    # Those of cross-validation are of heads as they are compared, which are solved less exactly.
    close = 3e-3 if near.cross_validated else 1e-4
    np.testing.assert_allclose(near.probabilities, all_tried.probabilities, atol=close)
    rows = question.validation.features[:, -len(near.kernel) :]
    np.testing.assert_allclose(rows @ near.kernel, rows @ all_tried.kernel, atol=2e-3)
    losses = {step.strength: step.val_loss for step in all_tried.path if step.taps == near.taps}
    for step in near.path:
        if step.taps == near.taps and step.strength in losses:
            assert step.val_loss == pytest.approx(losses[step.strength], abs=2e-3)
    tried_taps = {step.taps for step in near.path}
    assert tried_taps == ({near.taps} if near.near else {*TAP_SETS})
    assert len([step for step in near.path if step.taps == near.taps]) <= 4 + 2 * abs(away)


def test_if_the_best_has_moved_away_other_taps_are_tried_and_may_win(whole):
    """Where the images that have changed make other taps better, the strength moves, too."""
    question, all_tried = whole
    begun = Near("last", STRENGTHS[8])
    found = search(replace(question, near=begun), go_on, never)

    assert (found.taps, found.strength) == (all_tried.taps, all_tried.strength)
    assert found.taps != "last"
    assert not found.near


def test_of_taps_that_are_the_only_ones_no_others_are_tried(whole):
    question, _ = whole
    only = replace(question, tap_sets={"all": 3}, near=Near("all", STRENGTHS[8]))
    found = search(only, go_on, never)

    assert found.near
    assert {step.taps for step in found.path} == {"all"}


def test_views_are_tried_near_it_too(whole):
    question, all_tried = whole
    parts = [question.train, question.validation] if all_tried.cross_validated else [question.train]
    question = replace(
        question,
        near=Near(all_tried.taps, all_tried.strength),
        views=views_of(parts, 2),
    )
    found = search(question, go_on, never)

    assert {step.views for step in found.path} == {1, 2}
    assert len(found.path) < 2 * len(STRENGTHS)


@pytest.mark.parametrize("images", [(300, 240), (40, 30)], ids=["held out", "cross-validated"])
def test_in_several_threads_it_is_the_same_to_the_last_bit(images):
    question = setup(*images)
    one = search(question, go_on, never)
    for _ in range(3):
        several = search(replace(question, threads=3), go_on, never)

        assert several.path == one.path
        np.testing.assert_array_equal(several.kernel, one.kernel)
        np.testing.assert_array_equal(several.probabilities, one.probabilities)


@pytest.mark.parametrize("stop_after", [1, 7, 15])
def test_stopped_in_several_threads_it_is_the_same_too(stop_after):
    """Whatever the threads have tried beyond."""
    heads = []
    for threads in (1, 3):
        steps = []

        def stop(step, steps=steps):
            steps.append(step)
            return len(steps) == stop_after

        heads.append(search(replace(setup(), threads=threads), stop, never))
        assert heads[-1].path == steps
    one, several = heads
    assert several.path == one.path
    np.testing.assert_array_equal(several.kernel, one.kernel)


def test_a_repeated_search_gives_the_same_whatever_was_searched_between():
    question = setup()
    first = search(question, go_on, never)
    train = replace(question.train, truth=np.roll(question.train.truth, 7))
    search(replace(question, train=train), go_on, never)

    again = search(question, go_on, never)

    np.testing.assert_array_equal(again.kernel, first.kernel)
