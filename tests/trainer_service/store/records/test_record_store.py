"""Records on disk, changed by several processes at once."""

import multiprocessing
from pathlib import Path

import pytest

from tests.support.trainer.builders import new_dataset_record
from trainer_service.errors import DatasetNotFound
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.record_index import RecordIndex
from trainer_service.store.records.record_store import RecordStore

ID = "20260101-000000-aaaaaa"


def open_store(root: Path) -> RecordStore[DatasetRecord]:
    return RecordStore(root, DatasetRecord, DatasetNotFound)


def make(record_id: str = ID) -> DatasetRecord:
    return new_dataset_record(DatasetState.QUEUED, record_id=record_id)


@pytest.fixture
def records(tmp_path):
    store = open_store(tmp_path)
    store.create(make())
    return store


def test_a_record_comes_back_as_it_was_written(records):
    assert records.get(ID).source == "a.zip"


@pytest.mark.parametrize("record_id", ["20260101-000000-bbbbbb", "../x", "", "a\0b", ID + "/.."])
def test_an_invalid_id_is_not_found_and_never_a_path(records, record_id):
    with pytest.raises(DatasetNotFound):
        records.get(record_id)


def test_the_newest_comes_first(records):
    records.create(make("20270101-000000-aaaaaa"))
    assert [record.id for record in records.list()] == ["20270101-000000-aaaaaa", ID]


def test_the_newest_comes_first_within_a_second(records):
    """Ids tell seconds, and are random beyond."""
    for ending in "cba":
        records.create(make(f"20280101-000000-{ending * 6}"))
    assert [record.id[-1] for record in records.list()][:3] == ["a", "b", "c"]


def test_a_record_that_is_deleted_while_all_are_listed_is_left_out(records, monkeypatch):
    records.create(make("20270101-000000-aaaaaa"))
    records.delete(ID)
    monkeypatch.setattr(RecordIndex, "_names", lambda _: [ID, "20270101-000000-aaaaaa"])
    assert [record.id for record in records.list()] == ["20270101-000000-aaaaaa"]


def test_nothing_is_written_when_the_change_raises(records):
    def change(record):
        record.images = 5
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised five lines above
        records.update(ID, change)
    assert records.get(ID).images is None


def _count(root: Path, times: int) -> None:
    def add(record: DatasetRecord) -> None:
        record.ignored += 1

    for _ in range(times):
        open_store(root).update(ID, add)


@pytest.mark.process
def test_no_change_is_lost_between_processes(records, tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(tmp_path, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert records.get(ID).ignored == 75


def _hold(root: Path, held, release) -> None:
    with open_store(root).lease(ID) as mine:
        held.put(mine is not None)
        release.wait(60)


@pytest.mark.process
def test_only_one_process_works_on_a_record_until_it_ends_or_dies(records, tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Queue(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.get(timeout=60) is True

    with records.lease(ID) as mine:
        assert mine is None
    process.kill()
    process.join(60)
    with records.lease(ID) as mine:
        assert mine is not None


def test_what_the_body_raises_is_not_taken_for_a_lock(records):
    with pytest.raises(BlockingIOError), records.lease(ID):
        raise BlockingIOError
