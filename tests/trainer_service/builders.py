"""Records of trainings and datasets, and a clock, for tests."""

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


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def new_record(**request):
    now = datetime.now(UTC)
    return TrainingRecord(
        id=new_id(),
        model="pets",
        architecture="mobilenet_v2",
        state=State.QUEUED,
        dataset=TrainingDataset(id=new_id()),
        transitions=[Transition(state=State.QUEUED, at=now)],
        request=TrainingRequest(**request),
        created_at=now,
    )


def progress(done):
    return ProgressEvent(phase=State.BOTTLENECK, done=done, total=100)


def make_dataset(store, number=0, **fields):
    """Make a dataset so many microseconds after the start."""
    record = DatasetRecord(
        id=new_id(),
        state=DatasetState.READY,
        source="a.zip",
        path=False,
        created_at=START + timedelta(microseconds=number),
        **fields,
    )
    store.create(record)
    return record.id
