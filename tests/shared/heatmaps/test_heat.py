"""How the score of a label is divided among places, and what it depends on."""

import numpy as np
import pytest

from shared.errors import VersionCorrupt
from shared.heatmaps.heat import PLACES, TapMap, heat_of, interpolation, spread
from shared.heatmaps.parts import (
    BIAS,
    FACTOR,
    HIDDEN_BIAS,
    HIDDEN_KERNEL,
    KERNEL,
    SHIFT,
    HeadWeights,
)

FEATURES, HIDDEN, LABELS = 5, 7, 3


def arrays(*names):
    random = np.random.default_rng(0)
    inputs = HIDDEN if HIDDEN_KERNEL in names else FEATURES
    shapes = {
        FACTOR: (1, FEATURES),
        SHIFT: (1, FEATURES),
        HIDDEN_KERNEL: (FEATURES, HIDDEN),
        HIDDEN_BIAS: (1, HIDDEN),
        KERNEL: (inputs, LABELS),
        BIAS: (1, LABELS),
    }
    return {name: random.normal(0, 1, shapes[name]).astype(np.float32) for name in names}


def scores(given, features):
    """Compute the scores of all labels, in other words than the code does."""
    x = features.astype(np.float64) * given.get(FACTOR, 1) + given.get(SHIFT, 0)
    if HIDDEN_KERNEL in given:
        x = np.maximum(x @ given[HIDDEN_KERNEL] + given.get(HIDDEN_BIAS, 0), 0)
    logits = (x @ given[KERNEL] + given.get(BIAS, 0)).ravel()
    return logits - logits.mean()


@pytest.mark.parametrize(
    "names",
    [
        (KERNEL,),
        (KERNEL, BIAS),
        (FACTOR, SHIFT, KERNEL, BIAS),
        (HIDDEN_KERNEL, HIDDEN_BIAS, KERNEL, BIAS),
        (FACTOR, SHIFT, HIDDEN_KERNEL, HIDDEN_BIAS, KERNEL, BIAS),
    ],
)
def test_the_direction_of_a_score_is_its_derivative(names):
    given = arrays(*names)
    head = HeadWeights.of(given)
    features = np.random.default_rng(1).uniform(0, 1, FEATURES).astype(np.float32)
    step = 1e-4

    for label in range(LABELS):
        slope, score = head.direction(features, label)
        steps = [features + step * one for one in np.eye(FEATURES)]
        back = [features - step * one for one in np.eye(FEATURES)]
        expected = [
            (scores(given, one)[label] - scores(given, other)[label]) / (2 * step)
            for one, other in zip(steps, back, strict=True)
        ]
        assert score == pytest.approx(scores(given, features)[label], abs=1e-5)
        np.testing.assert_allclose(slope, expected, atol=1e-3)


def test_a_head_without_a_kernel_is_none():
    with pytest.raises(KeyError):
        HeadWeights.of(arrays(BIAS))


@pytest.mark.parametrize("places", [1, 7, 8, 13, 14, 17, 28, 35, 112])
def test_no_heat_is_lost_or_moved_from_one_side_to_the_other(places):
    matrix = spread(places)
    heat = np.zeros(places)
    heat[: places // 2] = 1

    assert matrix.shape == (PLACES, places)
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-5)
    spread_out = matrix @ heat
    assert spread_out[: PLACES // 2].sum() >= 0.9 * heat.sum()


@pytest.mark.parametrize("places", [7, 14, 28])
def test_even_heat_stays_even(places):
    np.testing.assert_allclose(interpolation(places, PLACES) @ np.ones(places), 1, atol=1e-5)


def test_heat_is_where_the_channel_is_that_speaks_for_the_label():
    values = np.zeros((7 * 7, 2), np.float32)
    values[:7, 0] = 1  # the top row
    values[0::7, 1] = 1  # the left column
    head = HeadWeights.of({KERNEL: np.eye(2, dtype=np.float32)})
    features = values.mean(axis=0)

    heat = heat_of([TapMap(values, 7, 7)], features, head, 0)

    assert heat.grid[:2, 2:].min() > 0, "it speaks for the first label"
    assert heat.grid[3:, :1].max() < 0, "against it"
    np.testing.assert_allclose(heat.grid[4:, 4:], 0, atol=1e-6)
    assert heat.score == pytest.approx(0, abs=1e-6)


def test_a_normalisation_behind_the_pooling_is_seen_through():
    """Averages that are normalised: y = (p - mean p) * slope + shift."""
    random = np.random.default_rng(2)
    values = random.uniform(0, 1, (16, FEATURES)).astype(np.float32)
    averages = values.mean(axis=0)
    slope, shift = random.normal(0, 1, (2, FEATURES)).astype(np.float32)
    features = (averages - averages.mean()) * slope + shift
    given = arrays(KERNEL, BIAS)

    heat = heat_of([TapMap(values, 4, 4, slope)], features, HeadWeights.of(given), 1)

    expected = scores(given, features)[1] - scores(given, shift)[1]
    assert float(heat.grid.sum()) == pytest.approx(expected, abs=1e-5)
    assert heat.rest == pytest.approx(scores(given, shift)[1], abs=1e-5)


@pytest.mark.parametrize(("name", "shape"), [
    (KERNEL, (HIDDEN, LABELS - 1)),
    (KERNEL, (HIDDEN + 1, LABELS)),
    (BIAS, (LABELS + 1,)),
    (FACTOR, (FEATURES + 1,)),
    (SHIFT, (FEATURES - 1,)),
    (HIDDEN_KERNEL, (HIDDEN, FEATURES)),
])  # fmt: skip
def test_weights_that_do_not_fit_each_other_are_told(name, shape):
    sound = arrays(FACTOR, SHIFT, HIDDEN_KERNEL, HIDDEN_BIAS, KERNEL, BIAS)
    HeadWeights.of(sound).check(FEATURES, LABELS)

    with pytest.raises(VersionCorrupt, match=f"'{name}' should be of shape"):
        HeadWeights.of(sound | {name: np.zeros(shape, np.float32)}).check(FEATURES, LABELS)
