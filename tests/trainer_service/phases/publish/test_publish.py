"""The evaluation that a version brings along."""

import json
import tracemalloc
from types import SimpleNamespace

import numpy as np

from shared.manifest import HeadInfo
from shared.model_store import REPORT_FILE
from tests.support.trainer.builders import new_record
from trainer_service.phases.evaluate.metrics import evaluate
from trainer_service.phases.publish.publish import _write_evaluation

LABELS = 300


def test_the_report_of_many_labels_takes_little_memory(tmp_path):
    """Indented, 4,000 labels took 1.4 GB and half a minute, for a file of 107 MB."""
    truth = np.arange(LABELS)
    names = [f"label {number}" for number in truth]
    metrics = {"test": evaluate(np.eye(LABELS, dtype=np.float32), truth, names)}
    trained = SimpleNamespace(
        head=HeadInfo(kind="layers", taps="last", features=4), history=[], best_epoch=1
    )
    evaluated = SimpleNamespace(
        labels=names,
        metrics=metrics,
        trained=trained,
        test_images=[],
        test_probabilities=np.empty((0, LABELS), np.float32),
    )
    tracemalloc.start()
    _write_evaluation(new_record(), evaluated, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert json.loads((tmp_path / REPORT_FILE).read_bytes())["metrics"] == metrics
    assert peak < 50 * LABELS**2, "bytes for each cell of the confusion matrix"
