"""What a training ends with when its work raises."""

import errno
import logging
import os

import pytest
from structlog.testing import capture_logs

from tests.support.trainer.builders import new_record
from trainer_service.errors import InvalidDataset
from trainer_service.settings import TrainerSettings
from trainer_service.store.outcome import end, recorded_outcome
from trainer_service.store.records import record_store
from trainer_service.store.records.training_record import (
    State,
)
from trainer_service.store.stores import SHARDS, Stores

ID = "20260101-000000-aaaaaa"


@pytest.fixture
def trainings(tmp_path):
    store = Stores.open(
        TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")
    ).trainings
    record = new_record(record_id=ID)
    record.enter(State.BOTTLENECK)
    store.create(record)
    return store


@pytest.mark.parametrize("error", [InvalidDataset("odd"), FileNotFoundError("shards/0.json")])
def test_what_is_raised_becomes_the_reason(trainings, error):
    with recorded_outcome(trainings, ID):
        raise error
    assert trainings.get(ID).state == State.FAILED
    assert str(error) in trainings.get(ID).error.detail


def test_an_error_after_a_cancellation_is_not_recorded_as_a_failure(trainings, caplog):
    """Whoever cancels it removes the files that a worker may be about to read."""
    with recorded_outcome(trainings, ID):
        trainings.update(ID, lambda record: record.enter(State.CANCELLED))
        raise FileNotFoundError("shards/0.json")

    assert trainings.get(ID).state == State.CANCELLED
    assert trainings.get(ID).error is None
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "models/pets"),
            f"Permission denied (user id {os.geteuid()}): models/pets",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_what_the_disk_or_its_permissions_refuse_is_a_line_without_a_traceback(
    trainings, error, detail
):
    with capture_logs() as logs, recorded_outcome(trainings, ID):
        raise error

    assert trainings.get(ID).error.detail == detail
    [line] = [line for line in logs if line["event"] == "failed"]
    assert "exc_info" not in line


def test_on_a_full_disk_what_a_training_needs_no_more_makes_room_for_its_end(
    trainings, monkeypatch
):
    shards = trainings.directory(ID) / SHARDS
    shards.mkdir()
    (shards / "tune.npz").write_bytes(b"large")
    write = record_store.atomic_write

    def write_if_there_is_room(file, data):
        if shards.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    monkeypatch.setattr(record_store, "atomic_write", write_if_there_is_room)
    assert end(trainings, ID, State.CANCELLED).state == State.CANCELLED
    assert trainings.get(ID).state == State.CANCELLED
