"""The statistics of a comparison, against SciPy and against values worked out by hand."""

import pytest
from scipy import stats

from trainer_service.comparisons.statistics import Duel, duel, exact_p
from trainer_service.phases.evaluate.intervals import confidence_interval


@pytest.mark.parametrize("tosses", [1, 2, 3, 7, 20, 61])
def test_p_is_that_of_an_exact_binomial_test(tosses):
    for wins in range(tosses + 1):
        expected = stats.binomtest(wins, tosses, 0.5).pvalue
        assert exact_p(wins, tosses - wins) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    # Sums of binomial coefficients over powers of two, by hand.
    [(0, 0, 1), (1, 0, 1), (0, 5, 2 / 32), (0, 6, 2 / 64), (1, 8, 20 / 512), (4, 4, 1)],
)
def test_p_of_few_images(wins, losses, p):
    assert exact_p(wins, losses) == p


def test_p_of_more_images_than_a_float_has_exponents():
    expected = stats.binomtest(2300, 5000, 0.5).pvalue

    assert exact_p(2300, 2700) == pytest.approx(expected, rel=1e-9)


def test_only_images_that_both_have_answered_count():
    own = {"a": True, "b": True, "c": False, "d": True, "only own": True}
    other = {"a": True, "b": False, "c": True, "d": False, "only other": True}

    assert duel(own, other) == Duel(wins=2, losses=1, p=1.0)


@pytest.mark.parametrize(("right", "n"), [(0, 9), (1, 1), (17, 20), (264, 269), (380, 380)])
def test_the_interval_of_an_accuracy_is_wilsons(right, n):
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")

    assert confidence_interval(right / n, n) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )
