"""The facts of a report on an invented training; its numbers are computed by the real code."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from shared.identifiers import new_id
from shared.images.decoding import ImageLimits
from shared.models.manifest import DatasetInfo, FileEntry, InputSpec, Manifest, WeightsInfo
from tests.support.inputs.tiny_model import picture
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.evaluate.metrics import accuracy_and_loss, evaluate
from trainer_service.phases.publish.report import answers, choose_mistakes, choose_samples
from trainer_service.report.facts import Facts, ShownSuspect
from trainer_service.report.thumbnails import embedded
from trainer_service.requests.training import TrainingRequest
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.suspects import Suspect
from trainer_service.store.records.training_record import (
    CacheUse,
    State,
    SuspectCount,
    TrainingDataset,
    TrainingRecord,
    Transition,
)

LIMITS = ImageLimits(2**20, 10**6)
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DIGEST, WEIGHTS, FILE = "d" * 64, "e" * 64, "f" * 64
SUSPECT = Suspect(
    image="cat/7.png",
    sha256="a" * 64,
    label="cat",
    proposed="owl",
    label_probability=0.02,
    proposed_probability=0.97,
    split="train",
)
CURVE = (0.9, 0.5, 0.3, 0.35, 0.4)


def evaluated(labels, per_label=8, seed=0):
    """Return test images, a third of them answered wrongly, as `evaluate_network` would."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(labels)), per_label)
    logits = rng.normal(size=(len(truth), len(labels))) + 2 * np.eye(len(labels))[truth]
    exponents = np.exp(logits)
    probabilities = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
    images = [_image(f"{labels[label]}/{n}.png", labels[label]) for n, label in enumerate(truth)]
    metrics = {
        "validation": accuracy_and_loss(probabilities, truth),
        "test": evaluate(probabilities, truth, labels),
    }
    history = [
        {"loss": 1.1 * v, "val_loss": v, "accuracy": 1 - v, "val_accuracy": 1 - v / 2}
        for v in CURVE
    ]
    return SimpleNamespace(
        trained=SimpleNamespace(history=history, best_epoch=3),
        labels=list(labels),
        metrics=metrics,
        test_images=images,
        test_truth=truth,
        test_probabilities=probabilities,
    )


def facts(directory: Path, labels=("cat", "dog", "owl"), **request) -> Facts:
    """Return the facts of a report on `labels`, with real pictures."""
    result = evaluated(labels)
    record = _record(result, **request)
    file = directory / "picture.png"
    file.write_bytes(picture("green", 300))

    def picture_of(image=None):
        return embedded(file.read_bytes(), LIMITS)

    return Facts(
        manifest=_manifest(result, record),
        metrics=result.metrics,
        record=record,
        dataset=_dataset(record),
        history=result.trained.history,
        best_epoch=result.trained.best_epoch,
        mistakes=answers(result, choose_mistakes(result), picture_of),
        samples=answers(result, choose_samples(result, 0), picture_of),
        predictor="http://localhost:8001",
        suspects=[ShownSuspect(SUSPECT, picture_of())],
    )


def _image(name, label):
    return ImageRecord(
        name=name,
        label=label,
        split=None,
        sha256="a" * 64,
        width=300,
        height=300,
        format="PNG",
        bytes=1,
        verdict="used",
        detail="",
        file=name,
    )


def _record(result, **request):
    rejected = RejectedImage(name="broken.jpg", label="cat", verdict="truncated", detail="ends")
    states = (State.QUEUED, State.PREPARING, State.BOTTLENECK, State.HEAD, State.PUBLISHING)
    return TrainingRecord(
        id=new_id(),
        model="pets",
        architecture="mobilenet_v2",
        state=State.PUBLISHING,
        dataset=TrainingDataset(
            id=new_id(),
            images=210,
            labels=dict.fromkeys(result.labels, 70),
            split={"train": 150, "validation": 36, "test": 24},
            rejected=[rejected],
        ),
        transitions=[
            Transition(state=state, at=NOW + timedelta(seconds=3 * number))
            for number, state in enumerate(states)
        ],
        cache=CacheUse(reused=200, computed=10, seconds_saved=1),
        suspects=SuspectCount(count=3, images=210, detail="By five regressions."),
        request=TrainingRequest(model="pets", seed=4711, **request),
        created_at=NOW,
    )


def _dataset(record):
    return DatasetRecord(
        id=record.dataset.id,
        created_at=NOW,
        state=DatasetState.READY,
        source="pets.zip",
        path=False,
        images=210,
        labels=record.dataset.labels,
        ignored=3,
        layout={"kind": "folders"},
        digest=DIGEST,
    )


def _manifest(result, record):
    return Manifest(
        model="pets",
        version=3,
        labels=result.labels,
        architecture="mobilenet_v2",
        input=InputSpec(height=224, width=224),
        preprocessing_version=1,
        metrics=result.metrics,
        dataset=DatasetInfo(
            id=record.dataset.id, digest=DIGEST, images=210, labels=record.dataset.labels
        ),
        weights=WeightsInfo(source="/weights/mobilenet_v2.weights.h5", sha256=WEIGHTS),
        training=record.request.model_dump(mode="json"),
        training_id=record.id,
        seed=record.request.seed,
        libraries={"keras": "3.12.0", "python": "3.11.9"},
        created_at=NOW,
        files=[FileEntry(path="saved_model.pb", bytes=123_456, sha256=FILE)],
    )
