"""From a trained head to a published version."""

import json
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from shared.engines import (
    PROBABILITIES,
    Pixels,
    Precision,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.errors import HeadstartError, InvalidImage
from shared.files import full_disk_named
from shared.images import decode
from shared.manifest import GOLDEN_FILE, DatasetInfo, GoldenImage, InputSpec, Manifest, WeightsInfo
from shared.model_store import OPENVINO_INT8_MODEL, REPORT_FILE
from trainer_service.backbones.architectures import PREPROCESSING_VERSION
from trainer_service.datasets.image_files import none_left
from trainer_service.phases.context import Worker
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.evaluate.metrics import Probabilities
from trainer_service.phases.publish.quantization import quantize_version
from trainer_service.phases.publish.report import write_report
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.records.training_record import State, TrainingRecord, told

GOLDEN_IMAGES = 8
#: Largest difference allowed between what the exported graph and the trained network answer to most
#: of the golden images; to a few, bf16 and f32 answer otherwise (docs/decisions/0006).
EXPORT_TOLERANCE = 0.1

_golden_images = TypeAdapter(list[GoldenImage])


class ExportMismatch(HeadstartError):
    title = "Export mismatch"


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
            _write_golden(worker, record, evaluated, staging)
        _write_evaluation(record, evaluated, staging)

        def complete(manifest: Manifest) -> None:
            write_report(worker, record, evaluated, staging, manifest)
            check_cancelled.now()

        manifest = _manifest(worker, record, evaluated)
        manifest = manifest.model_copy(update={"quantization": quantization})
        return models.publish(staging, manifest, complete)


class _Golden(NamedTuple):
    """A golden image: its place among the test images, its bytes and its pixels."""

    position: int
    data: bytes
    pixels: Pixels


def _write_golden(worker: Worker, record: TrainingRecord, evaluated: Evaluated, to: Path) -> None:
    chosen = _read_golden(worker, record, evaluated)
    answers = _answers(worker, to, np.stack([image.pixels for image in chosen]))
    trained = evaluated.test_probabilities[[image.position for image in chosen]]
    _check_export(answers.get(evaluated.network.precision, answers["f32"]), trained)
    directory = (to / GOLDEN_FILE).parent
    directory.mkdir()
    golden = []
    for number, image in enumerate(chosen):
        shown = evaluated.test_images[image.position]
        file = f"{number}.{shown.format.lower()}"
        (directory / file).write_bytes(image.data)
        own = {precision: answer[number].tolist() for precision, answer in answers.items()}
        golden.append(
            GoldenImage(file=file, label=shown.label, probabilities=own.pop("f32"), reduced=own)
        )
    (to / GOLDEN_FILE).write_bytes(_golden_images.dump_json(golden, indent=2))


def _read_golden(worker: Worker, record: TrainingRecord, evaluated: Evaluated) -> list[_Golden]:
    """Return the golden images: the first candidates that are still there.

    Raises:
        NotSeenHere, ImagesLost: none is.
    """
    files = worker.dataset_of(record).files()
    size = evaluated.network.architecture.input_size
    found: list[_Golden] = []
    for position in _candidates(evaluated):
        image = evaluated.test_images[position]
        with suppress(InvalidImage):  # gone meanwhile: the next one is taken
            data = files.read(image.file, image.sha256)
            pixels = decode(data, size, size, worker.image_limits)
            found.append(_Golden(position, data, pixels))
        if len(found) == GOLDEN_IMAGES:
            break
    if not found:
        raise none_left(files, len(evaluated.test_images))
    return found


def _answers(worker: Worker, version: Path, pixels: Pixels) -> dict[Precision, Probabilities]:
    """Return what the exported graph answers in every precision that this machine serves."""
    engine = select_engine(worker.settings.engine)
    answers: dict[Precision, Probabilities] = {
        precision: load_version_engine(version, engine, precision, worker.threads).infer(pixels)[
            PROBABILITIES
        ]
        for precision in serving_precisions(engine, worker.settings.precision)
    }
    if (version / OPENVINO_INT8_MODEL).exists():
        int8 = load_version_engine(version, "openvino", "int8", worker.threads)
        answers["int8"] = int8.infer(pixels)[PROBABILITIES]
    return answers


def _candidates(evaluated: Evaluated) -> list[int]:
    """Return the test images, a label after the other, so that as many as fit are golden."""
    by_label: dict[int, list[int]] = {}
    for index, label in enumerate(evaluated.test_truth):
        by_label.setdefault(int(label), []).append(index)
    rounds = max(map(len, by_label.values()))
    return [
        indices[turn]
        for turn in range(rounds)
        for indices in by_label.values()
        if turn < len(indices)
    ]


def _check_export(exported: Probabilities, trained: Probabilities) -> None:
    difference = float(np.median(np.abs(exported - trained).max(axis=1)))
    if not difference <= EXPORT_TOLERANCE:
        raise ExportMismatch(
            "The exported model answers differently from the trained network: expected "
            f"probabilities within {EXPORT_TOLERANCE} for most golden images. Received: "
            f"{difference:.3f} apart"
        )


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
        metrics=told(evaluated.metrics),
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
