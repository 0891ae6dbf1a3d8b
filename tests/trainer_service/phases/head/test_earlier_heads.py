"""A search on the same images with a few other labels is done sooner, with the same result."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer_service.phases.head.test_regression_search import go_on, never, setup
from trainer_service.phases.head.regression import earlier, partial
from trainer_service.phases.head.regression.search import search


@pytest.fixture
def steps(monkeypatch):
    """How many steps each head has taken."""
    taken, minimise = [], partial.minimise

    def counted(*arguments):
        found = minimise(*arguments)
        taken.append(found.steps)
        return found

    monkeypatch.setattr(partial, "minimise", counted)
    return taken


def corrected(question, share):
    """The same images, a share of which, evenly spread, have another label."""
    every = round(1 / share)

    def changed(data):
        truth = data.truth.copy()
        truth[::every] = (truth[::every] + 1) % question.labels
        return replace(data, truth=truth)

    return replace(question, train=changed(question.train), validation=changed(question.validation))


def searched(question, steps):
    """The head that is found, and how many steps that takes."""
    steps.clear()
    return search(question, go_on, never), sum(steps)


def test_a_corrected_search_finds_the_same_head_in_fewer_steps(steps):
    question = setup()
    mended = corrected(question, 0.01)
    cold, whole = searched(mended, steps)
    earlier.memory.clear()
    search(question, go_on, never)

    warm, few = searched(mended, steps)

    assert few < 0.9 * whole
    assert (warm.taps, warm.strength) == (cold.taps, cold.strength)
    assert [step.strength for step in warm.path] == [step.strength for step in cold.path]
    for one, other in zip(warm.path, cold.path, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, abs=1e-4)
    np.testing.assert_allclose(warm.probabilities, cold.probabilities, atol=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_after_many_corrections_it_starts_from_the_beginning(steps, share):
    question = setup()
    mended = corrected(question, share)
    cold = searched(mended, steps)
    earlier.memory.clear()
    search(question, go_on, never)

    warm = searched(mended, steps)

    assert warm[1] == cold[1]
    np.testing.assert_array_equal(warm[0].kernel, cold[0].kernel)


def test_a_search_that_is_repeated_gives_the_same_to_the_last_bit(steps):
    question = setup()
    cold = searched(question, steps)

    again = searched(question, steps)

    assert again[1] == cold[1]
    np.testing.assert_array_equal(again[0].kernel, cold[0].kernel)


def test_in_cross_validation_no_head_starts_from_an_earlier_one(steps):
    question = setup(40, 30)
    mended = corrected(question, 0.03)
    cold = searched(mended, steps)
    earlier.memory.clear()
    search(question, go_on, never)

    warm = searched(mended, steps)

    assert cold[0].cross_validated
    assert warm[1] == cold[1]


def test_no_more_is_kept_than_may_be():
    memory = earlier.Memory(500)
    truth = np.arange(10)
    before = np.where(truth == 9, 0, truth)
    for number in range(3):
        heads = earlier.EarlierHeads(before, {1.0: np.zeros((4, 10), np.float32)})
        memory.keep(bytes([number]), 4, heads)

    assert [bool(memory.take(bytes([n]), 4, truth).weights) for n in range(3)] == [
        False,
        True,
        True,
    ]
