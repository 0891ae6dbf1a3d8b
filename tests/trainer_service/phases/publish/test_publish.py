"""The evaluation that a version brings along."""

import json
import math
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from shared.models.manifest import HeadInfo
from shared.models.model_store import REPORT_FILE
from tests.support.trainer.builders import new_record
from trainer_service.phases.evaluate.metrics import evaluate
from trainer_service.phases.publish.publish import _write_evaluation

LABELS = 300


def evaluated(tune_history=()):
    truth = np.arange(LABELS)
    names = [f"label {number}" for number in truth]
    metrics = {"test": evaluate(np.eye(LABELS, dtype=np.float32), truth, names)}
    trained = SimpleNamespace(
        head=HeadInfo(kind="layers", taps="last", features=4),
        history=[],
        best_epoch=1,
        tune=None,
        tune_history=tune_history,
    )
    return SimpleNamespace(
        labels=names,
        metrics=metrics,
        trained=trained,
        test_images=[],
        test_probabilities=np.empty((0, LABELS), np.float32),
    )


def test_the_report_of_many_labels_takes_little_memory(tmp_path):
    """Indented, 4,000 labels took 1.4 GB and half a minute, for a file of 107 MB."""
    result = evaluated()
    tracemalloc.start()
    _write_evaluation(new_record(), result, [], tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert json.loads((tmp_path / REPORT_FILE).read_bytes())["metrics"] == result.metrics
    assert peak < 50 * LABELS**2, "bytes for each cell of the confusion matrix"


def test_an_epoch_that_diverged_has_no_values_in_json(tmp_path):
    """A browser can read neither NaN nor Infinity."""
    epochs = [{"loss": 0.5, "val_loss": 0.4}, {"loss": math.nan, "val_loss": math.inf}]
    _write_evaluation(new_record(), evaluated(epochs), [], tmp_path)

    report = json.loads((tmp_path / REPORT_FILE).read_bytes(), parse_constant=pytest.fail)
    assert report["tune_history"] == [epochs[0], {"loss": None, "val_loss": None}]
