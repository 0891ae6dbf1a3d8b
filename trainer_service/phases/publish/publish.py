"""From a trained head to a published version."""

import json
import math
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.engines import EMBEDDING, PROBABILITIES
from shared.errors import VersionNotFound
from shared.files import full_disk_named
from shared.models.manifest import (
    Artifact,
    DatasetInfo,
    Format,
    InputSpec,
    Manifest,
    Quantization,
    WeightsInfo,
)
from shared.models.model_store import REPORT_FILE, ModelSnapshot
from shared.models.prediction_sets import COVERAGE_FILE, pack_doubts
from shared.models.unknown import UNKNOWN_FILE
from trainer_service.backbones.architectures import PREPROCESSING_VERSION
from trainer_service.datasets.children.corrections import Correction, iterate_corrections
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.publish.golden import load_engines, write_golden
from trainer_service.phases.publish.heat import heat_of_mistakes
from trainer_service.phases.publish.promotion import judge
from trainer_service.phases.publish.quantization import quantize_version
from trainer_service.phases.publish.report import write_report
from trainer_service.phases.publish.unknown import measure_unknown
from trainer_service.phases.work import Work
from trainer_service.store.promoting import ModelChanged, Verdict
from trainer_service.store.records.training_record import State, TrainingRecord, abridged


def publish(work: Work, evaluated: Evaluated) -> int:
    """Export the trained network as the model's next version and return its number.

    Raises:
        TrainingCancelled: the training was cancelled meanwhile; there is no version.
        ExportMismatch: the exported graph does not answer as the trained network did.
        NotSeenHere, ImagesLost: no image is left to check the exported graph with.
    """
    work.enter(State.PUBLISHING)
    models = work.models
    with models.stage(work.record.model) as staging:
        with full_disk_named(staging):
            heatmaps = evaluated.network.export(staging, work.check_cancelled)
            work.check_cancelled()
            quantization = None
            if work.record.request.quantize == "int8":
                quantization = quantize_version(work, evaluated, staging)
            work.check_cancelled()
            quantized = quantization is not None and quantization.accepted
            engines = load_engines(work.worker, staging, quantized=quantized)
            golden = write_golden(work, evaluated, staging, engines)
            unknown = measure_unknown(work, evaluated, engines, golden)
            heats = heat_of_mistakes(work, evaluated, staging, engines["f32"], heatmaps)
            (staging / UNKNOWN_FILE).write_bytes(evaluated.familiar.known.pack())
            (staging / COVERAGE_FILE).write_bytes(pack_doubts(evaluated.doubts))
        corrections = list(iterate_corrections(work.dataset()))
        _write_evaluation(work.record, evaluated, corrections, staging)

        manifest = _manifest(work, evaluated, quantization, golden.artifacts)
        manifest = manifest.model_copy(update={"unknown": unknown, "heatmaps": heatmaps})
        write = partial(write_report, work, evaluated, staging, heats=heats)
        decide = partial(judge, work, evaluated, engines)
        return _publish_with_verdict(work, staging, manifest, decide, write)


def _publish_with_verdict(
    work: Work,
    staging: Path,
    manifest: Manifest,
    decide: Callable[[ModelSnapshot], Verdict],
    write: Callable[..., None],
) -> int:
    """Decide whether a staged version is to be served, and publish it; return its number.

    That of a comparison is withheld, so that nothing is decided yet. If the model changes
    meanwhile, as by another training, it is decided again.

    Args:
        work: the training.
        staging: the directory of the version, complete but for report and manifest.
        manifest: of the version.
        decide: returns the verdict, given the state of the model.
        write: writes the report, given the manifest with its number, and perhaps the verdict.
    """
    models = work.models
    if work.record.comparison is not None:
        return models.publish(staging, manifest, write)
    while True:
        seen = models.state(manifest.model)
        with suppress(ModelChanged, VersionNotFound):
            verdict = decide(seen)

            def complete(manifest: Manifest, verdict: Verdict = verdict) -> None:
                write(manifest, verdict=verdict)
                work.check_cancelled.now()

            return models.publish(staging, manifest, complete, verdict, seen)
        work.check_cancelled()


def _write_evaluation(
    record: TrainingRecord, evaluated: Evaluated, corrections: list[Correction], to: Path
) -> None:
    """Write the whole evaluation as JSON into the version in the making."""
    (to / REPORT_FILE).parent.mkdir()
    report = {
        "split": record.dataset.split,
        "corrections": [one.model_dump(mode="json") for one in corrections],
        "labels": evaluated.labels,
        "metrics": evaluated.metrics,
        "head": evaluated.trained.head.model_dump(),
        "history": evaluated.trained.history,
        "best_epoch": evaluated.trained.best_epoch,
        "tune": evaluated.trained.tune and evaluated.trained.tune.model_dump(),
        "tune_history": [_finite(epoch) for epoch in evaluated.trained.tune_history],
        "test": _test_rows(evaluated),
    }
    (to / REPORT_FILE).write_text(json.dumps(report))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values with None for NaN and infinity, of an epoch that diverged: JSON has neither."""
    return {name: one if math.isfinite(one) else None for name, one in values.items()}


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
    work: Work,
    evaluated: Evaluated,
    quantization: Quantization | None,
    artifacts: dict[Format, Artifact],
) -> Manifest:
    """Return the manifest of the version to be; its number is filled in when it is published."""
    record, network = work.record, evaluated.network
    architecture = network.architecture
    dataset = work.dataset().record
    return Manifest(
        model=record.model,
        version=0,
        labels=network.labels,
        architecture=architecture.id,
        input=InputSpec(height=architecture.input_size, width=architecture.input_size),
        preprocessing_version=PREPROCESSING_VERSION,
        precision=network.precision,
        outputs=[PROBABILITIES, EMBEDDING],
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
        libraries=libraries(),
        created_at=datetime.now(UTC),
        head=evaluated.trained.head,
        tune=evaluated.trained.tune,
        quantization=quantization,
        artifacts=artifacts,
        coverage=evaluated.coverage,
    )


def libraries() -> dict[str, str]:
    """Return the versions of the libraries that a network is exported with, by their names."""
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
