"""Settings of a trainer, and records of trainings and datasets, for tests."""

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta

from shared.identifiers import new_id
from trainer_service.datasets.records import ImageRecord, save_images, save_rejected
from trainer_service.requests.comparison import ComparisonRequest, trainings_of
from trainer_service.requests.training import TrainingRequest
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.events import ProgressEvent
from trainer_service.store.records.comparison_record import (
    Candidate,
    ComparisonDataset,
    ComparisonRecord,
    ComparisonState,
    ComparisonTransition,
)
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)
from trainer_service.store.stores import Stores

START = datetime(2026, 1, 1, tzinfo=UTC)
#: Nothing answers there.
NOWHERE = "http://127.0.0.1:1"


def trainer_settings(directory, redis_url, **more):
    """Return the settings of a trainer that has all in a directory, and of datasets only `pets`."""
    (directory / "datasets" / "pets" / "cat").mkdir(parents=True)
    return TrainerSettings(
        store=directory / "store",
        weights=directory / "weights",
        weights_url=NOWHERE,
        datasets=directory / "datasets",
        redis_url=redis_url,
        **more,
    )


def emptied_stores(settings):
    """Return what a trainer has, without the trainings and datasets of earlier tests."""
    stores = Stores.open(settings)
    for records in (stores.trainings, stores.datasets):
        for record in records.list():
            records.delete(record.id)
    return stores


def new_record(state=State.QUEUED, *, at=None, record_id=None, dataset=None, **request):
    """Return the record of a training that has only ever been in one state, since `at`."""
    at = at or datetime.now(UTC)
    return TrainingRecord(
        id=record_id or new_id(),
        model="pets",
        architecture="efficientnet_lite0",
        state=state,
        dataset=TrainingDataset(id=dataset or new_id()),
        transitions=[Transition(state=state, at=at)],
        request=TrainingRequest(**{"model": "pets"} | request),
        created_at=at,
    )


def new_comparison_record(
    state=ComparisonState.QUEUED,
    *,
    at=None,
    dataset=None,
    architectures=("efficientnet_lite0",),
    **request,
):
    """Return the record of a comparison that has only ever been in one state, since `at`."""
    at, architectures = at or datetime.now(UTC), list(architectures)
    asked = ComparisonRequest(model="pets", architectures=architectures, **request)
    return ComparisonRecord(
        id=new_id(),
        created_at=at,
        model="pets",
        state=state,
        dataset=ComparisonDataset(id=dataset or new_id()),
        transitions=[ComparisonTransition(state=state, at=at)],
        architectures=architectures,
        candidates=[
            Candidate(name=name, architecture=training.architecture, request=training)
            for name, training in trainings_of(asked, architectures).items()
        ],
        request=asked,
    )


def progress(done):
    return ProgressEvent(phase=State.BOTTLENECK, done=done, total=100)


def new_dataset_record(state=DatasetState.READY, *, at=None, record_id=None, **fields):
    """Return the record of a dataset, by default of an uploaded archive."""
    return DatasetRecord(
        id=record_id or new_id(),
        state=state,
        created_at=at or datetime.now(UTC),
        **{"source": "a.zip", "path": False} | fields,
    )


def make_dataset(store, number=0, **fields):
    """Make a dataset so many microseconds after the start."""
    record = new_dataset_record(at=START + timedelta(microseconds=number), **fields)
    store.create(record)
    return record.id


def _listed(labels):
    for label, count in labels.items():
        for number in range(count):
            name = f"{label}/{number}.png"
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            yield ImageRecord(name, label, None, sha256, 8, 8, "png", 90, "used", "", name)


def make_read_dataset(store, labels, rejected=(), **fields):
    """Make a dataset that has been read, as far as its page shows it.

    Args:
        store: where.
        labels: how many images there are with each label; the file of none of them is there.
        rejected: the files that were rejected.
        fields: more of the record.
    """
    layout = {"kind": "folders"}
    made = make_dataset(store, images=sum(labels.values()), labels=labels, layout=layout, **fields)
    save_images(store.directory(made), _listed(labels))
    save_rejected(store.directory(made), list(rejected))
    named = [RejectedImage(**file.model_dump()) for file in rejected]
    verdicts = Counter(file.verdict for file in rejected)
    store.update(made, lambda record: record.reject(named, verdicts))
    return made
