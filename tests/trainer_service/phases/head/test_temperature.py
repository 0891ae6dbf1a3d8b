"""By how much a network is too sure of itself."""

import numpy as np
import pytest

from trainer_service.phases.head.temperature import LEAST, MOST, best_temperature


def drawn(spread, count=4000):
    """Return logits, and labels drawn with the probabilities that they mean."""
    random = np.random.default_rng(0)
    logits = random.normal(0, spread, (count, 3)).astype(np.float32)
    powers = np.exp(logits)
    truth = [random.choice(3, p=row / row.sum()) for row in powers.astype(np.float64)]
    return logits, np.array(truth)


@pytest.mark.parametrize("excess", [0.7, 1.0, 2.5])
def test_what_was_multiplied_is_divided_again(excess):
    logits, truth = drawn(2)

    assert best_temperature(logits * excess, truth) == pytest.approx(excess, rel=0.1)


def test_it_stays_in_its_range():
    logits = np.array([[1, -1], [-1, 1]] * 500, np.float32)

    assert best_temperature(logits, np.array([0, 1] * 500)) == pytest.approx(LEAST, rel=1e-3)
    assert best_temperature(logits, np.array([1, 0] * 500)) == pytest.approx(MOST, rel=1e-3)


def test_images_that_are_nearly_all_right_are_no_reason_to_be_surer():
    random = np.random.default_rng(0)
    truth = np.arange(200) % 2
    logits = random.normal(0, 1, (200, 2)) + 6 * np.eye(2)[truth]

    assert best_temperature(logits.astype(np.float32), truth) > 0.8
