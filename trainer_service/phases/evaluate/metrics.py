"""Metrics of a classifier on held-out images, from its probabilities."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer_service.phases.evaluate.calibration import calibration
from trainer_service.phases.evaluate.intervals import confidence_interval
from trainer_service.phases.head.data import Probabilities, Truth


def evaluate(probabilities: Probabilities, truth: Truth, labels: Sequence[str]) -> dict[str, Any]:
    """Return accuracy, loss, per-class metrics and the confusion matrix.

    Args:
        probabilities: float32 (n, len(labels)), each row summing to 1.
        truth: int64 (n,), index of the right label.
        labels: in the order of the columns.

    Returns:
        `accuracy` and `loss` (mean cross-entropy, natural logarithm) in [0, 1] and [0, ∞);
        `accuracy_low` and `accuracy_high`: the 95 % interval of the accuracy on other images;
        `macro_f1`: the mean of the labels' F1;
        what `calibration` returns;
        `per_class`: for each label precision, recall, f1 (0 where undefined) and support;
        `confusion_matrix`: counts, a row per true label and a column per predicted one.
    """
    matrix = confusion_matrix(probabilities.argmax(axis=1), truth, len(labels))
    classes = per_class(matrix, labels)
    measured = accuracy_and_loss(probabilities, truth)
    low, high = confidence_interval(measured["accuracy"], len(truth))
    return {
        "images": len(truth),
        **measured,
        "accuracy_low": round(low, 6),
        "accuracy_high": round(high, 6),
        "macro_f1": round(fmean(row["f1"] for row in classes.values()), 6),
        **calibration(probabilities, truth),
        "per_class": classes,
        "confusion_matrix": matrix.tolist(),
    }


def accuracy_and_loss(probabilities: Probabilities, truth: Truth) -> dict[str, float]:
    right = probabilities.argmax(axis=1) == truth
    loss = losses(probabilities, truth)
    return {"accuracy": round(float(right.mean()), 6), "loss": round(float(loss.mean()), 6)}


def losses(probabilities: Probabilities, truth: Truth) -> npt.NDArray[np.float64]:
    """Return the cross-entropy of each image (natural logarithm): float64 (n,)."""
    chosen = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return np.asarray(-np.log(np.clip(chosen, 1e-7, 1.0)), np.float64)


def confusion_matrix(predicted: Truth, truth: Truth, size: int) -> npt.NDArray[np.int64]:
    """Return int64 (size, size): how often true label i was predicted as label j."""
    return np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size)


def per_class(matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    hits = matrix.diagonal().astype(np.float64)
    support = matrix.sum(axis=1)
    precision = _ratio(hits, matrix.sum(axis=0))
    recall = _ratio(hits, support)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return {
        label: {
            "precision": round(float(precision[index]), 6),
            "recall": round(float(recall[index]), 6),
            "f1": round(float(f1[index]), 6),
            "support": int(support[index]),
        }
        for index, label in enumerate(labels)
    }


def _ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio = np.zeros(len(above))
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio
