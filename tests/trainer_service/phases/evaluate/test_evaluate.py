"""Metrics, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from trainer_service.phases.evaluate.intervals import confidence_interval
from trainer_service.phases.evaluate.metrics import evaluate

PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], np.float32
)
TRUTH = np.array([0, 0, 1, 2])


@pytest.fixture(scope="module")
def metrics():
    return evaluate(PROBABILITIES, TRUTH, ["cat", "dog", "owl"])


def test_accuracy_is_the_share_of_right_answers(metrics):
    assert metrics["accuracy"] == 0.5
    assert metrics["images"] == 4


def test_accuracy_has_an_interval(metrics):
    """Wilson's, for two of four."""
    assert metrics["accuracy_low"] == pytest.approx(0.150, abs=1e-3)
    assert metrics["accuracy_high"] == pytest.approx(0.850, abs=1e-3)


def test_loss_is_the_mean_cross_entropy(metrics):
    expected = -(math.log(0.8) + math.log(0.3) + math.log(0.7) + math.log(0.25)) / 4
    assert metrics["loss"] == pytest.approx(expected, abs=1e-5)


def test_confusion_matrix_has_a_row_per_true_label(metrics):
    assert metrics["confusion_matrix"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_per_class_metrics(metrics):
    assert metrics["per_class"] == {
        "cat": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        "dog": {"precision": 0.5, "recall": 1.0, "f1": 0.666667, "support": 1},
        "owl": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }


def test_a_certain_and_wrong_answer_costs_a_finite_loss():
    metrics = evaluate(np.array([[1, 0]], np.float32), np.array([1]), ["a", "b"])
    assert metrics["loss"] == pytest.approx(-math.log(1e-7), rel=1e-5)


def test_wilson_s_interval():
    """Reference values: R's prop.test(…, correct = FALSE)."""
    assert confidence_interval(0.9, 100) == pytest.approx((0.825634, 0.944771), abs=1e-6)
    low, high = confidence_interval(1.0, 10)
    assert (low, high) == pytest.approx((0.722467, 1.0), abs=1e-6)
