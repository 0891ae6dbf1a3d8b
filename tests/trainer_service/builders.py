"""Records of trainings and datasets, for tests."""

from datetime import UTC, datetime, timedelta

from shared.identifiers import new_id
from trainer_service.store.events.events import ProgressEvent
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)
from trainer_service.training_request import TrainingRequest

START = datetime(2026, 1, 1, tzinfo=UTC)


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
        request=TrainingRequest(**request),
        created_at=at,
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
