"""Records that can't be read: they block nothing, are logged once, and can be removed."""

import errno
import json
import os
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.errors import NotFound, Unavailable
from shared.identifiers import new_id
from tests.support.trainer.api_client import post
from tests.support.trainer.builders import make_dataset, new_record
from trainer_service.errors import DatasetNotFound, RecordCorrupt, RecordUnwritable
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.records import record_store
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import CacheUse
from trainer_service.store.stores import TrainingStore


def shut(file):
    file.chmod(0)


def directory(file):
    file.unlink()
    file.mkdir()


def pipe(file):
    file.unlink()
    os.mkfifo(file)


def link_to_itself(file):
    file.unlink()
    file.symlink_to(file)


def deep(file):
    file.write_text('{"id":' * 100_000)


def foreign(file):
    """Make it a copy of another's, as `cp -r` does."""
    file.write_text(json.dumps(json.loads(file.read_text()) | {"id": new_id()}))


def without_zone(file):
    """A time that can't be compared with those of the others."""
    record = json.loads(file.read_text()) | {"created_at": "2026-01-01T00:00:00"}
    file.write_text(json.dumps(record))


def enormous(file):
    os.truncate(file, 2**36)  # of holes


FAULTS = (
    pytest.param(
        shut, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    ),
    directory,
    pipe,
    link_to_itself,
    deep,
    foreign,
    without_zone,
    enormous,
)


@pytest.fixture
def records(tmp_path):
    return RecordStore(tmp_path / "datasets", DatasetRecord, DatasetNotFound)


@pytest.mark.parametrize("damage", FAULTS)
def test_a_record_that_can_not_be_read_is_left_out_and_logged_once(records, damage):
    sound, bad = make_dataset(records), make_dataset(records)
    file = records.directory(bad) / "record.json"
    damage(file)

    with capture_logs() as logs:
        for _ in range(2):
            assert [record.id for record in records.list()] == [sound]
            assert records.read(file) is None
    assert [line["file"] for line in logs] == [str(file)]
    assert f"datasets/{bad}/record.json can't be read" in logs[0]["reason"]
    for look in (lambda: records.get(bad), records.every):
        with pytest.raises(RecordCorrupt, match=bad):
            look()
    records.delete_unreadable(bad)
    assert [record.id for record in records.every()] == [sound]
    with pytest.raises(NotFound):
        records.delete_unreadable(bad)


def test_a_record_that_can_not_be_read_for_a_moment_is_not_called_damaged(records, monkeypatch):
    known, other = make_dataset(records), make_dataset(records)
    read = record_store.read_small

    def stale(file, most):
        if file.parent.name == other:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read(file, most)

    monkeypatch.setattr(record_store, "read_small", stale)
    assert [record.id for record in records.list()] == [known]
    with pytest.raises(Unavailable, match="Stale file handle"):
        records.get(other)
    monkeypatch.undo()
    assert len(records.list()) == 2


def test_without_descriptors_a_list_fails_instead_of_being_empty(records, monkeypatch):
    make_dataset(records)

    def fail(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(record_store, "read_small", fail)
    with pytest.raises(OSError, match="Too many open files"):
        records.list()


@pytest.mark.integration
@pytest.mark.parametrize("damage", [directory, deep])
def test_the_api_works_beside_damaged_records_and_removes_them(call, settings, damage):
    sound, bad = post(call).json(), post(call).json()
    dataset = bad["dataset"]["id"]
    for kind, record_id in (("trainings", bad["id"]), ("datasets", dataset)):
        damage(settings.store / kind / record_id / "record.json")

    assert [record["id"] for record in call("GET", "/v1/trainings").json()] == [sound["id"]]
    assert post(call).status_code == 202
    metrics = call("GET", "/metrics").text
    assert 'headstart_unreadable_records{kind="trainings"} 1.0' in metrics
    assert 'headstart_unreadable_records{kind="datasets"} 1.0' in metrics
    answer = call("DELETE", f"/v1/datasets/{dataset}")
    assert answer.status_code == 409
    assert bad["id"] in answer.json()["detail"]

    for path in (f"/v1/trainings/{bad['id']}", f"/v1/datasets/{dataset}"):
        assert call("DELETE", path).status_code == 204
        assert call("GET", path).status_code == 404


@pytest.mark.integration
def test_one_that_is_worked_on_is_not_removed_under_the_worker(call, settings):
    record = post(call).json()
    directory(settings.store / "trainings" / record["id"] / "record.json")
    store = RecordStore(settings.store / "trainings", DatasetRecord, DatasetNotFound)
    with store.lease(record["id"]):
        answer = call("DELETE", f"/v1/trainings/{record['id']}")
        assert answer.status_code == 409
        assert "is being worked on" in answer.json()["detail"]
    assert call("DELETE", f"/v1/trainings/{record['id']}").status_code == 204


def test_a_record_that_lists_can_not_show_counts_as_damaged(tmp_path):
    """With infinity for a number, which JSON answers as null."""
    log = EventLog(tmp_path, connect("redis://127.0.0.1:1/0"))
    trainings = TrainingStore(tmp_path, log)
    record = new_record()
    record.cache = CacheUse(reused=1, computed=1, seconds_saved=1)
    trainings.create(record)
    file = trainings.directory(record.id) / "record.json"
    file.write_text(file.read_text().replace('"seconds_saved": 1.0', '"seconds_saved": 1e999'))
    assert trainings.list() == []
    with pytest.raises(RecordCorrupt, match=record.id):
        trainings.every()


@pytest.mark.parametrize("metrics", [{"test": 5}, {"test": None}, {"test": {"per_class": 7}}])
@pytest.mark.integration
def test_metrics_that_are_none_of_ours_are_answered_as_they_are(call, settings, metrics):
    training = post(call).json()["id"]
    file = settings.store / "trainings" / training / "record.json"
    record = json.loads(file.read_text()) | {"metrics": metrics, "state": "succeeded"}
    file.write_text(json.dumps(record))
    assert call("GET", f"/v1/trainings/{training}").json()["metrics"] == metrics
    assert call("GET", "/v1/trainings").status_code == 200


@pytest.fixture
def refuse(monkeypatch):
    """Return what has the system refuse to open files below a directory to be written."""
    opened, below = os.open, []

    def open_if_permitted(path, flags, *rest, **named):
        writes = flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT)
        if writes and any(Path(os.fsdecode(path)).is_relative_to(shut) for shut in below):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
        return opened(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_if_permitted)
    return below.append


DENIED = f"Permission denied (user id {os.geteuid()})"


@pytest.mark.integration
def test_one_that_may_not_be_locked_is_named_and_holds_up_no_other(call, settings, refuse):
    shut_one, other = (post(call).json()["id"] for _ in range(2))
    refuse(settings.store / "trainings" / shut_one / ".record.lock")

    answer = call("POST", f"/v1/trainings/{shut_one}/cancel")
    assert (answer.status_code, answer.json()["title"]) == (500, "Unwritable record")
    expected = f"trainings/{shut_one}/.record.lock can't be written: {DENIED}."
    assert answer.json()["detail"] == expected
    assert call("GET", f"/v1/trainings/{shut_one}").json()["state"] == "queued"
    assert call("POST", f"/v1/trainings/{other}/cancel").json()["state"] == "cancelled"


@pytest.mark.integration
def test_a_dataset_that_may_not_be_locked_is_named(call, settings, refuse):
    dataset, other = (post(call).json()["dataset"]["id"] for _ in range(2))
    refuse(settings.store / "datasets" / dataset / ".record.lock")

    for answer in (
        post(call, dataset=dataset),
        call("DELETE", f"/v1/datasets/{dataset}"),
    ):
        assert answer.status_code == 500
        expected = f"datasets/{dataset}/.record.lock can't be written: {DENIED}."
        assert answer.json()["detail"] == expected
    assert len(call("GET", "/v1/trainings").json()) == 2
    assert post(call, dataset=other).status_code == 202


def test_a_record_that_may_not_be_written_is_told_of_by_its_folder(records, monkeypatch):
    record_id = make_dataset(records)

    def deny(file, _):
        name = file.with_name(f".{file.name}.0a.tmp")
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(name))

    monkeypatch.setattr(record_store, "atomic_write", deny)
    expected = re.escape(f"datasets/{record_id} can't be written: {DENIED}.")
    with pytest.raises(RecordUnwritable, match=f"^{expected}$"):
        records.update(record_id, lambda _: None)


def test_a_record_that_may_not_be_read_is_told_with_whom(records, monkeypatch):
    record_id = make_dataset(records)

    def deny(file, _):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))

    monkeypatch.setattr(record_store, "read_small", deny)
    with pytest.raises(RecordCorrupt, match=re.escape(f"can't be read: {DENIED}.")):
        records.get(record_id)
