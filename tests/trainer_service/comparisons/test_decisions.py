"""Which candidates go on after the first round, and which is recommended."""

import math

import pytest

from trainer_service.comparisons.halving import Loss, going_on, why_dropped
from trainer_service.comparisons.recommend import Choice, best_of, recommend


def losses(**values):
    return {name: Loss(value, 0.1) for name, value in values.items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, []),
        (losses(a=0.5), ["a"]),
        (losses(a=0.9, b=0.5), ["b"]),
        (losses(a=0.9, b=0.5, c=0.8), ["b", "c"]),
        (losses(a=0.9, b=0.5, c=0.8, d=0.7), ["b", "d"]),
        # In the worse half, but within one standard error of the best.
        (losses(a=0.6, b=0.5, c=0.55, d=0.58), ["b", "c", "d", "a"]),
        (losses(a=0.601, b=0.5, c=0.55, d=0.58), ["b", "c", "d"]),
        ({"a": Loss(9.0, 0.1), "b": Loss(0.5, math.inf)}, ["b", "a"]),
    ],
)
def test_the_better_half_goes_on_and_whatever_is_within_one_standard_error(found, expected):
    assert going_on(found) == expected


def test_what_is_dropped_is_told_with_its_figures():
    told = why_dropped(Loss(0.9, 0.2), Loss(0.5, 0.1), "vgg16")

    assert told == (
        "In the first round its log loss was 0.900, in the worse half and more than one standard "
        "error (0.100) above that of vgg16, 0.500."
    )


def test_the_best_is_the_most_accurate_and_of_equals_that_of_least_loss():
    assert best_of([(0.8, 0.1), (0.9, 0.5), (0.9, 0.4)]) == 2


def row(name, accuracy, cost, p, loss=0.5):
    return Choice(name, accuracy, loss, cost, p)


@pytest.mark.parametrize(
    ("rows", "name", "distinct", "words"),
    [
        ([row("a", 0.9, 3, 1)], "a", False, "a is the only one"),
        (
            [row("a", 0.9, 3, 1), row("b", 0.89, 2, 0.3), row("c", 0.8, 1, 0.01)],
            "b",
            True,
            "b is the cheapest that is not significantly worse than the most accurate, a (p = 0.3)",
        ),
        (
            [row("a", 0.9, 3, 1), row("b", 0.8, 1, 0.0499)],
            "a",
            True,
            "a is the most accurate, and all that are cheaper are significantly worse.",
        ),
        (
            [row("a", 0.9, 1, 1), row("b", 0.8, 2, 0.01)],
            "a",
            True,
            "a is the most accurate, and the cheapest as well.",
        ),
        (
            [row("a", 0.9, 3, 1), row("b", 0.8, 1, 0.05), row("c", 0.8, 2, 0.2)],
            "b",
            False,
            "These images don't suffice to tell them apart: none is significantly worse than a. b",
        ),
    ],
)
def test_the_cheapest_that_is_not_significantly_worse_is_recommended(rows, name, distinct, words):
    found = recommend(rows)

    assert (found.name, found.distinct) == (name, distinct)
    assert found.sentence.startswith(words)
