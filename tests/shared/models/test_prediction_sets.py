"""Enough labels for the right one to be among them as often as was asked."""

import numpy as np
import pytest

from shared.models.prediction_sets import (
    MOST_DOUBTS,
    answered,
    doubts_of,
    largest_coverage,
    most_doubt,
    pack_doubts,
    unpack_doubts,
)


def drawn(pictures, random):
    """Return probabilities that are right on average, and the labels drawn by them."""
    logits = random.normal(0, 2, (pictures, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (probabilities.cumsum(axis=1) < random.random((pictures, 1))).sum(axis=1)
    return (probabilities**1.5).astype(np.float32), truth  # too sure of itself


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_right_label_is_among_those_answered_as_often_as_asked(coverage):
    random = np.random.default_rng(0)
    doubt = most_doubt(doubts_of(*drawn(4000, random)), coverage)
    probabilities, truth = drawn(4000, random)

    right = [label in answered(row, doubt) for row, label in zip(probabilities, truth, strict=True)]

    assert np.mean(right) == pytest.approx(coverage, abs=0.02)


def test_the_likeliest_label_is_answered_whatever_the_doubt():
    assert answered([0.2, 0.5, 0.3], 0.0) == [1]
    assert answered([0.2, 0.5, 0.3], 0.75) == [1, 2]


@pytest.mark.parametrize(("images", "coverage", "place"), [
    (19, 0.95, 18), (99, 0.95, 94), (100, 0.95, 95), (18, 0.95, None), (9, 0.9, 8),
    (19, 1e-12, 0), (0, 1e-12, None),
])  # fmt: skip
def test_so_many_images_vouch_for_a_coverage(images, coverage, place):
    doubts = np.arange(images, dtype=np.float32)

    assert most_doubt(doubts, coverage) == place
    assert (largest_coverage(images) >= coverage) == (place is not None)


def test_doubts_are_read_as_they_were_written_and_others_are_refused():
    doubts = np.array([0.0, 0.5, 1.0], np.float32)

    np.testing.assert_array_equal(unpack_doubts(pack_doubts(doubts)), doubts)
    for data in (b"", pack_doubts(doubts[::-1]), bytes(5_000_001), pack_doubts(doubts * np.nan)):
        with pytest.raises(ValueError, match=r"arrays|ascend|at most"):
            unpack_doubts(data)


def test_of_very_many_doubts_evenly_spaced_ones_are_kept():
    many = np.linspace(0, 1, MOST_DOUBTS * 2, dtype=np.float32)

    kept = unpack_doubts(pack_doubts(many))

    assert len(kept) == MOST_DOUBTS
    assert most_doubt(kept, 0.9) == pytest.approx(most_doubt(many, 0.9), abs=1e-4)
