"""The solver of the regression head, against plain mathematics and scikit-learn."""

from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.regression import design as designs
from trainer_service.phases.head.regression import scaling as scalings
from trainer_service.phases.head.regression.design import Direct, Rotated, build_design
from trainer_service.phases.head.regression.scaling import measure
from trainer_service.phases.head.regression.solver import (
    Problem,
    _Objective,
    _point,
    minimise,
    softmax,
    starting_weights,
)

WIDTHS = [40, 80]
LABELS = 4


def never():
    """Nobody cancels."""


def clouds(images=200, seed=0):
    """Clouds of points that overlap, with two taps of different scales, and far from 0."""
    random = np.random.default_rng(seed)
    truth = np.arange(images) % LABELS
    hidden = random.normal(size=(images, 20)) + 1.5 * np.eye(LABELS, 20)[truth]
    mixing = np.random.default_rng(1).normal(size=(20, sum(WIDTHS)))
    features = hidden @ mixing + random.normal(size=(images, sum(WIDTHS)))
    features = (features + 30) * np.repeat([0.01, 5], WIDTHS)
    return features.astype(np.float32), truth


def problem(features, truth, weights=None):
    scaling = measure([features], WIDTHS, never)
    design = build_design([features], 1, scaling, 0, never)
    counts = np.ones(len(truth)) if weights is None else weights[truth]
    return Problem(design, truth, (counts / len(truth)).astype(np.float32), LABELS), scaling


@pytest.fixture(params=[Rotated, Direct])
def kind(request, monkeypatch):
    """Solve in either kind of coordinates."""
    if request.param is Direct:
        monkeypatch.setattr(designs, "MOST_DECOMPOSED", 60)
        monkeypatch.setattr(designs, "SAMPLED_ROWS", 70)
        monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 10)
    return request.param


@pytest.mark.parametrize("images", [80, 200])
@pytest.mark.parametrize("strength", [10, 0.1, 0.001])
def test_probabilities_are_those_of_scikit_learn(kind, images, strength):
    features, truth = clouds(images)
    ours, scaling = problem(features, truth)
    assert isinstance(ours.design, kind)
    found = minimise(ours, strength, starting_weights(ours), never)
    assert found.converged

    scaled = (features - scaling.mean) / scaling.scale
    theirs = LogisticRegression(C=1 / (strength * images), tol=1e-10, max_iter=20_000)
    expected = theirs.fit(scaled, truth).predict_proba(scaled)
    np.testing.assert_allclose(softmax(found.logits).T, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("images", [80, 200])
def test_rows_that_are_looked_at_in_blocks_give_the_same(kind, images, monkeypatch):
    """Real trainings have more rows than one block; the last block is not full."""
    features, truth = clouds(images)
    whole, scaling = problem(features, truth)
    expected = minimise(whole, 0.1, starting_weights(whole), never)
    monkeypatch.setattr(scalings, "ROWS_AT_ONCE", 23)
    blocked, same = problem(features, truth)
    found = minimise(blocked, 0.1, starting_weights(blocked), never)

    np.testing.assert_allclose(same.mean, scaling.mean, rtol=1e-6)
    np.testing.assert_allclose(same.scale, scaling.scale, rtol=1e-6)
    np.testing.assert_allclose(softmax(found.logits), softmax(expected.logits), atol=1e-4)


@pytest.mark.parametrize("parts", [1, 2])
def test_each_tap_gets_a_variance_of_one(parts):
    """Whatever its scale, its width and its mean, which differs from feature to feature."""
    random = np.random.default_rng(0)
    features = random.normal(
        random.normal(0, 9, 12), np.repeat([0.02, 3, 700], [2, 3, 7]), (90, 12)
    )
    rows = np.array_split(features.astype(np.float32), parts)
    scaling = measure(rows, [2, 3, 7], never)

    scaled = np.concatenate(list(scaling.blocks(rows)))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    squares = [np.square(tap).mean() for tap in np.split(scaled, [2, 5], axis=1)]
    np.testing.assert_allclose(squares, 1, rtol=1e-4)
    assert np.ptp(scaling.scale[5:]) == 0
    last = scaling.last(10)
    np.testing.assert_array_equal(last.scaled(rows[0]), scaling.scaled(rows[0])[:, 2:])


def test_class_weights_are_those_of_scikit_learn(kind):
    features, truth = clouds()
    features, truth = features[truth < 3], truth[truth < 3]
    features, truth = np.concatenate([features, features[:1]]), np.append(truth, 3)
    by_label = len(truth) / (LABELS * np.bincount(truth))
    ours, scaling = problem(features, truth, by_label)
    found = minimise(ours, 0.1, starting_weights(ours), never)

    scaled = (features - scaling.mean) / scaling.scale
    theirs = LogisticRegression(
        C=1 / (0.1 * len(truth)), tol=1e-10, max_iter=20_000, class_weight="balanced"
    )
    expected = theirs.fit(scaled, truth).predict_proba(scaled)
    np.testing.assert_allclose(softmax(found.logits).T, expected, rtol=0, atol=1e-4)


def test_the_gradient_is_the_slope_of_the_loss(kind):
    ours, _ = problem(*clouds())
    random = np.random.default_rng(3)
    weights, direction = (
        random.normal(0, 0.05, (LABELS, ours.design.size + 1)).astype(np.float32) for _ in range(2)
    )
    objective = _Objective(ours, 0.3, never)

    def loss(length):
        at = weights + np.float32(length) * direction
        penalty = 0.3 / 2 * np.square(at[:, :-1].astype(np.float64)).sum()
        return _point(ours, objective.logits(at)).loss + penalty

    gradient = objective.gradient(weights, _point(ours, objective.logits(weights)))
    slope = (loss(0.01) - loss(-0.01)) / 0.02
    assert slope == pytest.approx(float(np.vdot(gradient, direction)), rel=1e-3)


def test_from_wherever_it_starts_the_minimum_is_the_same(kind):
    ours, _ = problem(*clouds())
    cold = minimise(ours, 0.05, starting_weights(ours), never)
    near = minimise(ours, 0.2, starting_weights(ours), never)
    warm = minimise(ours, 0.05, near.weights, never)
    np.testing.assert_allclose(softmax(warm.logits), softmax(cold.logits), rtol=0, atol=1e-4)


def test_what_it_knows_of_the_curvature_saves_steps(monkeypatch):
    features, truth = clouds(400)
    solve = partial(minimise, strength=0.003, check_cancelled=never)
    ours, _ = problem(features, truth)
    known = solve(ours, start=starting_weights(ours))
    ours.design.spread = designs.Spread(np.full(ours.design.size, 1.0))
    unknown = solve(ours, start=starting_weights(ours))
    np.testing.assert_allclose(softmax(known.logits), softmax(unknown.logits), rtol=0, atol=1e-3)
    assert known.steps < unknown.steps / 2


def test_a_solve_can_be_cancelled_in_its_middle(kind):
    ours, _ = problem(*clouds())
    calls = 0

    def cancelled():
        nonlocal calls
        calls += 1
        if calls == 10:
            raise TrainingCancelled

    with pytest.raises(TrainingCancelled):
        minimise(ours, 1e-4, starting_weights(ours), cancelled)
    assert calls == 10


def test_rows_without_weight_change_nothing():
    features, truth = clouds()
    ours, _ = problem(features, truth)
    half = np.arange(len(truth)) < 100
    weights = half.astype(np.float32) / 100
    other = np.where(half, truth, (truth + 1) % LABELS)
    one, two = (
        minimise(Problem(ours.design, labels, weights, LABELS), 0.1, start, never)
        for labels in (truth, other)
        for start in [starting_weights(ours)]
    )
    np.testing.assert_array_equal(one.weights, two.weights)


def test_it_ends_where_float32_can_tell_no_better(kind):
    ours, _ = problem(*clouds())
    found = minimise(ours, 0.05, starting_weights(ours), never, tolerance=0)
    assert not found.converged
    assert found.steps < 300
    exact = minimise(ours, 0.05, starting_weights(ours), never)
    np.testing.assert_allclose(softmax(found.logits), softmax(exact.logits), rtol=0, atol=1e-4)
