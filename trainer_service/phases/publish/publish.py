"""From a trained head to a published version."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from shared.files import full_disk_named
from shared.manifest import DatasetInfo, InputSpec, Manifest, WeightsInfo
from shared.model_store import REPORT_FILE
from trainer_service.backbones.architectures import PREPROCESSING_VERSION
from trainer_service.phases.context import Worker
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.publish.golden import write_golden
from trainer_service.phases.publish.quantization import quantize_version
from trainer_service.phases.publish.report import write_report
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.records.training_record import State, TrainingRecord, abridged


def publish(
    worker: Worker, record: TrainingRecord, evaluated: Evaluated, check_cancelled: CancellationCheck
) -> int:
    """Export the trained network as the model's next version and return its number.

    Raises:
        TrainingCancelled: it was cancelled meanwhile; there is no version.
        ExportMismatch: the exported graph does not answer as the trained network did.
    """
    trainings, models = worker.stores.trainings, worker.stores.models
    record = trainings.update(record.id, lambda current: current.enter(State.PUBLISHING))
    with models.stage(record.model) as staging:
        with full_disk_named(staging):
            evaluated.network.export(staging, check_cancelled)
            check_cancelled()
            quantization = None
            if record.request.quantize == "int8":
                quantization = quantize_version(worker, record, evaluated, staging, check_cancelled)
            check_cancelled()
            quantized = quantization is not None and quantization.accepted
            artifacts = write_golden(worker, record, evaluated, staging, quantized=quantized)
        _write_evaluation(record, evaluated, staging)

        def complete(manifest: Manifest) -> None:
            write_report(worker, record, evaluated, staging, manifest)
            check_cancelled.now()

        manifest = _manifest(worker, record, evaluated)
        manifest = manifest.model_copy(
            update={"quantization": quantization, "artifacts": artifacts}
        )
        return models.publish(staging, manifest, complete)


def _write_evaluation(record: TrainingRecord, evaluated: Evaluated, to: Path) -> None:
    (to / REPORT_FILE).parent.mkdir()
    report = {
        "split": record.dataset.split,
        "labels": evaluated.labels,
        "metrics": evaluated.metrics,
        "history": evaluated.trained.history,
        "best_epoch": evaluated.trained.best_epoch,
        "test": _test_rows(evaluated),
    }
    (to / REPORT_FILE).write_text(json.dumps(report, indent=1))


def _test_rows(evaluated: Evaluated) -> list[dict[str, Any]]:
    """Return what the network answered for each test image, the most confident mistakes first."""
    predicted = evaluated.test_probabilities.argmax(axis=1)
    rows = [
        {
            "image": image.name,
            "sha256": image.sha256,
            "label": image.label,
            "predicted": evaluated.labels[predicted[index]],
            "probability": round(float(evaluated.test_probabilities[index, predicted[index]]), 6),
        }
        for index, image in enumerate(evaluated.test_images)
    ]
    return sorted(rows, key=lambda row: (row["label"] == row["predicted"], -row["probability"]))


def _manifest(
    worker: Worker,
    record: TrainingRecord,
    evaluated: Evaluated,
) -> Manifest:
    network = evaluated.network
    architecture = network.architecture
    dataset = worker.stores.datasets.get(record.dataset.id)
    return Manifest(
        model=record.model,
        version=0,
        labels=network.labels,
        architecture=architecture.id,
        input=InputSpec(height=architecture.input_size, width=architecture.input_size),
        preprocessing_version=PREPROCESSING_VERSION,
        precision=network.precision,
        metrics=abridged(evaluated.metrics),
        dataset=DatasetInfo(
            id=dataset.id,
            digest=dataset.digest or "",
            images=record.dataset.images or 0,
            labels=record.dataset.labels,
        ),
        weights=WeightsInfo(source=network.weights.source, sha256=network.weights.sha256),
        training=record.request.model_dump(mode="json"),
        training_id=record.id,
        seed=record.request.seed,
        libraries=_libraries(),
        created_at=datetime.now(UTC),
    )


def _libraries() -> dict[str, str]:
    import keras
    import openvino
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "openvino": openvino.__version__,
        "numpy": np.__version__,
    }
