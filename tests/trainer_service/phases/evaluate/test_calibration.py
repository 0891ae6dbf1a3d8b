"""Calibration, against classifiers whose probabilities are known to be right or wrong."""

import numpy as np
import pytest

from trainer_service.phases.evaluate.calibration import calibration


def answers(images, sure, right_share, labels=3, seed=0):
    """Probabilities of which the largest is `sure`, right as often as `right_share` says."""
    random = np.random.default_rng(seed)
    predicted = random.integers(0, labels, images)
    probabilities = np.repeat(((1 - sure) / (labels - 1))[:, None], labels, axis=1)
    probabilities[np.arange(images), predicted] = sure
    right = random.random(images) < right_share
    return probabilities.astype(np.float32), np.where(right, predicted, (predicted + 1) % labels)


def spread(images, seed=1):
    return np.random.default_rng(seed).uniform(0.5, 1, images)


@pytest.mark.parametrize("images", [100, 400, 10_000])
def test_a_perfectly_calibrated_classifier_shows_the_error_that_chance_makes(images):
    sure = spread(images)
    errors = [calibration(*answers(images, sure, sure, seed=seed)) for seed in range(20)]
    shown = np.mean([one["calibration_error"] for one in errors])
    assert shown == pytest.approx(errors[0]["calibration_error_expected"], rel=0.2)
    over = [one["calibration_error"] > one["calibration_error_most"] for one in errors]
    assert sum(over) <= 4


def test_one_that_is_too_sure_exceeds_it():
    measured = calibration(*answers(1000, sure := spread(1000), sure - 0.2))
    assert measured["calibration_error"] == pytest.approx(0.2, abs=0.03)
    assert measured["calibration_error_most"] < 0.08


def test_the_groups_have_equally_many_images_the_least_sure_first():
    sure = spread(1003)
    groups = calibration(*answers(1003, sure, sure))["calibration"]
    assert [group["images"] for group in groups] == [
        100,
        100,
        100,
        101,
        100,
        100,
        101,
        100,
        100,
        101,
    ]
    assert [group["probability"] for group in groups] == sorted(g["probability"] for g in groups)
    for group in groups:
        assert group["accuracy_low"] <= group["accuracy"] <= group["accuracy_high"]


@pytest.mark.parametrize(("images", "groups"), [(1, 1), (39, 1), (40, 2), (199, 9)])
def test_few_images_make_fewer_groups(images, groups):
    measured = calibration(*answers(images, spread(images), 1.0))
    assert len(measured["calibration"]) == groups


def test_brier_is_the_squared_distance_from_certainty():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]], np.float32)
    expected = (0.04 + 0.01 + 0.01 + 0.64 + 0.25 + 0.09) / 2
    assert calibration(probabilities, np.array([0, 0]))["brier"] == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize(("off", "words"), [(0, "by chance"), (-0.2, "too high"), (0.2, "too low")])
def test_a_sentence_says_whether_they_can_be_trusted(off, words):
    sure = np.random.default_rng(1).uniform(0.5, 0.8, 1000)
    assert words in calibration(*answers(1000, sure, sure + off))["calibration_detail"]


def test_the_same_answers_give_the_same_numbers():
    given = answers(200, spread(200), 0.7)
    assert calibration(*given) == calibration(*given)
