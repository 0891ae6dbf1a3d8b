"""However a reading ends, the record says how, and what others have read since is not harmed.

Such a reading is that of a worker that counted as dead and wakes up, or one that hung and was left
behind.
"""

import errno
import hashlib
import os
import sqlite3
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from shared.errors import NotFound, TooLarge, Unavailable
from tests.support.inputs.tiny_model import picture
from trainer_service.datasets import dataset as dataset_module
from trainer_service.datasets import reading
from trainer_service.datasets.create import UPLOAD_FILE, new_dataset
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.image_files import NotSeenHere
from trainer_service.datasets.records import RECORDS_FILE, REJECTED_FILE
from trainer_service.datasets.scan import conclude
from trainer_service.datasets.sources import hang_guard, iterate
from trainer_service.errors import InvalidDataset, RecordCorrupt, TrainingCancelled
from trainer_service.requests.lists import ListQuery
from trainer_service.requests.reading import ReadingRequest
from trainer_service.service import dataset_images
from trainer_service.settings import TrainerSettings
from trainer_service.store.files.lease import LeaseLost, WorkersDied
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.stores import Stores

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def settings(tmp_path):
    return TrainerSettings(store=tmp_path / "store", redis_url=NO_REDIS)


@pytest.fixture
def datasets(settings):
    return Stores.open(settings).datasets


@pytest.fixture
def uploaded(datasets):
    """A dataset of two labels with ten pictures each, not read yet."""
    record = new_dataset("pets.zip", path=False, submitted=True)
    directory = datasets.create(record)
    with zipfile.ZipFile(directory / UPLOAD_FILE, "w") as archive:
        for number in range(10):
            archive.writestr(f"cat/{number}.png", picture((200, number, 0)))
            archive.writestr(f"dog/{number}.png", picture((0, number, 200)))
    return record.id


@pytest.mark.parametrize("error", [None, OSError("stale"), InvalidDataset("odd")])
def test_a_reader_that_has_lost_its_lease_leaves_all_as_it_is(datasets, settings, uploaded, error):
    steps = []

    def progress(done: int, _: int) -> None:
        steps.append(done)
        if len(steps) == 1:
            datasets.lease_file(uploaded).unlink()
            reading.read(datasets, settings, uploaded)
            if error is not None:
                raise error

    with pytest.raises(LeaseLost):
        reading.read(datasets, settings, uploaded, progress)

    assert steps == [0]  # it ends at the next step, not with the last one
    assert datasets.get(uploaded).state == DatasetState.READY
    assert datasets.get(uploaded).images == 20
    if error is None:
        assert len(Dataset.open(datasets, settings, uploaded).used_images()) == 20
    assert not (datasets.directory(uploaded) / UPLOAD_FILE).exists()


def _record(datasets, uploaded):
    record = datasets.get(uploaded)
    return record.state, record.error and (record.error.type, record.error.transient)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, "Stale file handle", "upload"),
        MemoryError("no more"),
        KeyError("a mistake"),
        sqlite3.OperationalError("database is locked"),
    ],
    ids=repr,
)
def test_an_error_of_the_machine_fails_a_dataset_only_for_now(
    datasets, settings, uploaded, monkeypatch, error
):
    with monkeypatch.context() as broken:
        broken.setattr(conclude, "settle", _raise(error))
        with pytest.raises(type(error)):
            reading.read(datasets, settings, uploaded)

    assert _record(datasets, uploaded) == (DatasetState.FAILED, (type(error).__name__, True))
    assert datasets.get(uploaded).error.detail
    assert (datasets.directory(uploaded) / UPLOAD_FILE).exists()
    datasets.update(uploaded, lambda record: setattr(record, "state", DatasetState.QUEUED))
    assert reading.read(datasets, settings, uploaded).images == 20


def _raise(error):
    def broken(*_):
        raise error

    return broken


def _raise_once(error, then):
    errors = [error]

    def broken(*arguments):
        if errors:
            raise errors.pop()
        return then(*arguments)

    return broken


@pytest.fixture
def read_once(datasets, settings, uploaded):
    """The dataset, once it is read, and what is known of its images."""
    reading.read(datasets, settings, uploaded)
    return uploaded, used_labels(datasets, settings, uploaded)


def used_labels(datasets, settings, dataset_id):
    used = Dataset.open(datasets, settings, dataset_id).used_images()
    return [(image.sha256, image.label) for image in used]


def ask(datasets, dataset_id, **asked):
    datasets.update(dataset_id, lambda record: record.ask(ReadingRequest(**asked)))


def outcome(datasets, dataset_id):
    record = datasets.get(dataset_id)
    refused = record.refused and (record.refused.error.type, record.refused.error.transient)
    return record.state, record.error, record.reading, record.reading_before, refused


@pytest.mark.parametrize(
    ("module", "step"),
    [(conclude, "settle"), (conclude, "save_images"), (reading, "save_rejected")],
    ids=["before", "while", "after"],
)
@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (InvalidDataset("odd"), ("InvalidDataset", False)),
        (TooLarge("much"), ("TooLarge", False)),
        (RecordCorrupt("damaged"), ("RecordCorrupt", True)),
        (OSError(errno.ENOSPC, "No space left on device"), ("OSError", True)),
        (MemoryError("no more"), ("MemoryError", True)),
        (KeyError("a mistake"), ("KeyError", True)),
    ],
    ids=repr,
)
def test_however_another_reading_fails_the_one_before_stays(
    datasets, settings, read_once, monkeypatch, module, step, error, refused
):
    """Be it before its labels are written, or after."""
    uploaded, before = read_once
    ask(datasets, uploaded, rename={"cat": "feline"})
    with monkeypatch.context() as broken:
        broken.setattr(module, step, _raise_once(error, getattr(module, step)))
        with pytest.raises(type(error)):
            reading.read(datasets, settings, uploaded)

    state = DatasetState.READY, None, ReadingRequest(), None, refused
    assert outcome(datasets, uploaded) == state
    assert used_labels(datasets, settings, uploaded) == before
    record = datasets.get(uploaded)
    assert record.labels == {"cat": 10, "dog": 10}
    ask(datasets, uploaded, rename={"cat": "feline"})
    assert reading.read(datasets, settings, uploaded).labels == {"dog": 10, "feline": 10}
    assert outcome(datasets, uploaded)[-2:] == (None, None)


def test_after_a_crash_between_images_and_record_the_reading_before_comes_back(
    datasets, settings, read_once, monkeypatch
):
    """As the images have the new labels by then, and the record counts the old ones."""
    uploaded, before = read_once
    ask(datasets, uploaded, rename={"cat": "dog", "dog": "cat"})
    with monkeypatch.context() as killed:
        killed.setattr(reading, "_fill", _raise(SystemExit()))
        with pytest.raises(SystemExit):
            reading.read(datasets, settings, uploaded)
    assert datasets.get(uploaded).state == DatasetState.READING
    with pytest.raises(RecordCorrupt, match="labels are not those"):
        used_labels(datasets, settings, uploaded)
    monkeypatch.setattr(reading, "require_survivable", _raise(WorkersDied("ten")))

    with pytest.raises(WorkersDied):
        reading.read(datasets, settings, uploaded)

    state = DatasetState.READY, None, ReadingRequest(), None, ("WorkersDied", False)
    assert outcome(datasets, uploaded) == state
    assert used_labels(datasets, settings, uploaded) == before


def test_without_labels_to_go_back_to_a_dataset_fails(datasets, settings, read_once, monkeypatch):
    uploaded, _ = read_once
    ask(datasets, uploaded, level=7)
    (datasets.directory(uploaded) / RECORDS_FILE).write_bytes(b"{}")

    with pytest.raises(RecordCorrupt):
        reading.read(datasets, settings, uploaded)

    assert _record(datasets, uploaded) == (DatasetState.FAILED, ("RecordCorrupt", True))
    assert datasets.get(uploaded).reading_before is None


@pytest.mark.parametrize("error", [Unavailable("away"), TrainingCancelled("stop")], ids=repr)
def test_another_reading_that_is_put_off_is_still_to_be_done(
    datasets, settings, read_once, monkeypatch, error
):
    uploaded, _ = read_once
    ask(datasets, uploaded, rename={"cat": "feline"})
    with monkeypatch.context() as broken:
        broken.setattr(conclude, "settle", _raise(error))
        with pytest.raises(type(error)):
            reading.read(datasets, settings, uploaded)

    assert datasets.get(uploaded).state == DatasetState.QUEUED
    assert reading.read(datasets, settings, uploaded).labels == {"dog": 10, "feline": 10}


def test_a_dataset_whose_folder_is_not_seen_here_is_left_to_other_workers(datasets, tmp_path):
    settings = TrainerSettings(store=tmp_path / "store", redis_url=NO_REDIS, datasets=tmp_path)
    record = new_dataset("away/pets", path=True, submitted=True)
    datasets.create(record)

    with pytest.raises(NotSeenHere, match="does not exist"):
        reading.read(datasets, settings, record.id)

    assert _record(datasets, record.id) == (DatasetState.QUEUED, None)


def test_a_folder_that_can_not_be_looked_at_now_is_left_to_be_tried_again(
    datasets, tmp_path, monkeypatch
):
    settings = TrainerSettings(store=tmp_path / "store", redis_url=NO_REDIS, datasets=tmp_path)
    record = new_dataset("pets", path=True, submitted=True)
    datasets.create(record)
    monkeypatch.setattr(dataset_module, "locate", _raise(Unavailable("can't be accessed now")))

    with pytest.raises(Unavailable):
        reading.read(datasets, settings, record.id)

    assert _record(datasets, record.id) == (DatasetState.QUEUED, None)


def test_a_folder_that_may_not_be_read_is_no_dataset(datasets, settings, uploaded, monkeypatch):
    monkeypatch.setattr(conclude, "settle", _raise(InvalidDataset("permission denied")))

    with pytest.raises(InvalidDataset):
        reading.read(datasets, settings, uploaded)

    assert _record(datasets, uploaded) == (DatasetState.FAILED, ("InvalidDataset", False))


class Hanging:
    """Stands for a share that does not answer: who opens a file there waits until it is let go."""

    def __init__(self, opener):
        self.waits = threading.Event()
        self.answers = threading.Event()
        self._opener = opener

    def __call__(self, root, name):
        self.waits.set()
        self.answers.wait(60)
        return self._opener(root, name)


@pytest.fixture
def hanging(monkeypatch):
    hanging = Hanging(iterate.open_below)
    monkeypatch.setattr(iterate, "open_below", hanging)
    monkeypatch.setattr(hang_guard, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(hang_guard, "GRACE_SECONDS", 0.05)
    yield hanging
    hanging.answers.set()


def _reading_threads():
    return [thread for thread in threading.enumerate() if thread.name == "reading"]


def test_a_training_that_is_cancelled_does_not_wait_for_a_reading_that_hangs(
    datasets, settings, uploaded, hanging, monkeypatch
):
    def cancelled():
        if hanging.waits.is_set():
            raise TrainingCancelled("stop")

    with pytest.raises(TrainingCancelled):
        reading.read(datasets, settings, uploaded, waiting=cancelled)
    assert _record(datasets, uploaded) == (DatasetState.QUEUED, None)

    [behind] = _reading_threads()
    monkeypatch.undo()
    assert reading.read(datasets, settings, uploaded).images == 20
    hanging.answers.set()
    behind.join(30)
    assert not behind.is_alive()
    assert (
        len(Dataset.open(datasets, settings, uploaded).used_images()) == 20
    )  # it has removed nothing


def test_a_reading_that_hangs_for_too_long_fails_for_now(
    datasets, settings, uploaded, hanging, monkeypatch
):
    monkeypatch.setattr(hang_guard.HangGuard.__init__, "__defaults__", (0.05,))

    with pytest.raises(TimeoutError, match=r"did not respond for 0 seconds: 'pets.zip'"):
        reading.read(datasets, settings, uploaded)

    assert _record(datasets, uploaded) == (DatasetState.FAILED, ("TimeoutError", True))
    assert (datasets.directory(uploaded) / UPLOAD_FILE).exists()


def test_a_reading_that_is_to_end_ends_before_it_asks_the_system_again():
    asked = hang_guard.HangGuard()

    def work():
        while True:
            with asked.system_call("a file"):
                asked.stop()

    with pytest.raises(hang_guard.Stopped):
        hang_guard.run_guarded(work, asked, lambda: None)


def test_the_task_logs_a_mistake_of_ours_and_goes_on(
    datasets, settings, uploaded, monkeypatch, capsys
):
    from trainer_service.worker import tasks

    stores = Stores.open(settings)
    monkeypatch.setattr(tasks, "worker", lambda: SimpleNamespace(stores=stores, settings=settings))
    monkeypatch.setattr(conclude, "settle", _raise(KeyError("a mistake")))

    with structlog.testing.capture_logs() as logs:
        tasks.read_dataset(uploaded)

    [line] = [line for line in logs if line["event"] == "a dataset could not be read"]
    assert line["exc_info"]
    assert line["dataset_id"] == uploaded


def test_a_step_that_a_read_only_store_fails_is_logged_in_a_line(monkeypatch):
    """It may last, and each step is tried again until it passes."""
    from trainer_service.worker import tasks

    monkeypatch.setattr(tasks, "worker", _raise(OSError(errno.EROFS, "Read-only file system")))

    with structlog.testing.capture_logs() as logs:
        tasks.prepare("t")

    assert [(line["log_level"], "exc_info" in line) for line in logs] == [("warning", False)]
    assert "Read-only file system" in logs[0]["reason"]


def _damaged(content):
    def damage(file):
        file.unlink()
        file.write_bytes(content)

    return damage


def _lose_lines(file):
    """Cut it at the end of a line, so that what is left can be read."""
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:12]))


def _make_pipe(file):
    file.unlink()
    os.mkfifo(file)


def _make_folder(file):
    file.unlink()
    file.mkdir()


def _change_a_label(file):
    first, *others = file.read_bytes().splitlines(keepends=True)
    changed = first.replace(b'"label":"cat"', b'"label":"dog"')
    assert changed != first
    file.write_bytes(b"".join([changed, *others]))


@pytest.mark.parametrize(
    "damage",
    [
        _change_a_label,
        _damaged(b""),
        _damaged(b'{"name": "cat'),
        _damaged(b"{}\n"),
        _damaged(b"\xff\n"),
        _lose_lines,
        _make_pipe,
        _make_folder,
        Path.unlink,
    ],
)
def test_a_training_on_damaged_records_of_images_says_so(datasets, settings, uploaded, damage):
    """It does not learn from what happens to be left."""
    reading.read(datasets, settings, uploaded)
    damage(datasets.directory(uploaded) / RECORDS_FILE)

    with pytest.raises(RecordCorrupt, match=r"images\.jsonl is damaged: its? .*Submit") as caught:
        Dataset.open(datasets, settings, uploaded).used_images()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [_damaged(b"{}\n"), _make_pipe, _make_folder, Path.unlink])
def test_damaged_records_of_images_are_told_in_words(datasets, settings, uploaded, damage):
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)
    damage(dataset.directory / RECORDS_FILE)

    with pytest.raises(RecordCorrupt, match=r"images\.jsonl is damaged"):
        dataset_images.list_images(dataset, dataset_images.ImageQuery())
    with pytest.raises((RecordCorrupt, NotFound)):
        dataset_images.open_image(dataset, "0" * 64)


@pytest.mark.parametrize("damage", [_damaged(b""), _damaged(b"a"), _lose_lines])
def test_no_image_is_said_not_to_be_there_if_records_are_lost(datasets, settings, uploaded, damage):
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)
    damage(dataset.directory / RECORDS_FILE)

    for ask in (
        lambda: dataset_images.open_image(dataset, "0" * 64),
        lambda: dataset_images.list_images(dataset, dataset_images.ImageQuery()),
        lambda: dataset_images.list_images(dataset, dataset_images.ImageQuery(sha256=["0" * 64])),
        lambda: dataset_images.list_images(dataset, dataset_images.ImageQuery(label="fox")),
    ):
        with pytest.raises(RecordCorrupt, match=r"images\.jsonl is damaged"):
            ask()


def test_a_page_beyond_the_last_image_is_empty(datasets, settings, uploaded):
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)

    page = dataset_images.list_images(dataset, dataset_images.ImageQuery(after=1000))

    assert (page.images, page.after) == ([], None)


def test_an_endless_line_among_the_records_is_not_searched_to_its_end(datasets, settings, uploaded):
    """Each piece of it would be put to all before: 100 MB took eleven seconds."""
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)
    (dataset.directory / RECORDS_FILE).write_bytes(b"x" * (2 * dataset_images.LONGEST_LINE))

    with pytest.raises(RecordCorrupt, match="a line of over"):
        dataset_images.open_image(dataset, "0" * 64)


@pytest.mark.parametrize("piece", [1, 100, 1000])
def test_every_used_image_is_found(datasets, settings, uploaded, monkeypatch, piece):
    monkeypatch.setattr(dataset_images, "PIECE_BYTES", piece)
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)

    for image in dataset.used_images():
        file, _ = dataset_images.open_image(dataset, image.sha256)
        with file:
            assert hashlib.sha256(file.read()).hexdigest() == image.sha256


@pytest.mark.timeout(30)
def test_a_pipe_in_place_of_the_rejected_files_is_told_and_not_waited_for(
    datasets, settings, uploaded
):
    reading.read(datasets, settings, uploaded)
    dataset = Dataset.open(datasets, settings, uploaded)
    (dataset.directory / REJECTED_FILE).unlink(missing_ok=True)
    os.mkfifo(dataset.directory / REJECTED_FILE)

    with pytest.raises(RecordCorrupt, match=r"rejected\.jsonl can't be read"):
        dataset_images.list_rejected(dataset, ListQuery())
