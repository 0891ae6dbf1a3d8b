"""A head on the very same rows as the last one need not find their directions again."""

import numpy as np
import pytest

from trainer_service.phases.head.regression import design
from trainer_service.phases.head.regression.scaling import measure


@pytest.fixture
def decomposed(monkeypatch):
    """The shapes of the matrices that are decomposed."""
    shapes, really = [], design._decomposed
    monkeypatch.setattr(design, "_known", design._Known(1 << 20))
    monkeypatch.setattr(design, "_decomposed", lambda m: (shapes.append(m.shape), really(m))[1])
    return shapes


def rows(seed, count, features):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def coordinates(features, seed=0):
    scaling = measure([features], [features.shape[1]], lambda: None)
    made = design.build_design([features], 1, scaling, seed, lambda: None)
    return made.products(np.eye(made.size, dtype=np.float32), lambda: None)


@pytest.mark.parametrize(("count", "features"), [(40, 8), (8, 40)])
def test_the_same_rows_are_decomposed_once_and_to_the_last_bit_the_same(
    decomposed, count, features
):
    first = coordinates(rows(0, count, features))

    again = coordinates(rows(0, count, features))

    assert len(decomposed) == 1
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(("count", "features"), [(40, 8), (8, 40)])
def test_other_rows_are_decomposed_anew(decomposed, count, features):
    before = rows(0, count, features)
    coordinates(before)
    after = before.copy()
    after[3, 2] += 1e-3

    found = coordinates(after)

    assert len(decomposed) == 2
    design._known.clear()
    np.testing.assert_array_equal(coordinates(after), found)


def test_a_sample_of_many_rows_is_known_too(decomposed, monkeypatch):
    monkeypatch.setattr(design, "MOST_DECOMPOSED", 16)
    monkeypatch.setattr(design, "SAMPLED_ROWS", 12)
    features = rows(0, 40, 30)

    for seed in (0, 0, 1):
        coordinates(features, seed)

    assert decomposed == [(12, 12), (12, 12)]


def test_no_more_is_kept_than_may_be(decomposed):
    known = design._Known(700)
    for seed in (0, 1, 2, 2, 1, 0):
        numbers = rows(seed, 8, 8)
        key = design._hash_of([numbers])
        known.get(key, lambda numbers=numbers: design._decomposed(numbers @ numbers.T))

    assert known._bytes() <= 700
    assert len(decomposed) == 4
    huge = rows(3, 40, 40)
    known.get(b"huge", lambda: design._decomposed(huge @ huge.T))
    assert known._bytes() == 0
