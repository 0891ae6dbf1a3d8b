"""Faults of the machine: waited out, left to other workers, or reported at the end."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support.inputs.bottleneck_training import IMAGES
from tests.support.inputs.tiny_model import publish_tiny_model
from trainer_service import training
from trainer_service.datasets.image_files import ImageFiles, NotSeenHere
from trainer_service.datasets.records import save_images
from trainer_service.errors import (
    InvalidDataset,
    RecordUnwritable,
    TrainingCancelled,
    TransientFailure,
)
from trainer_service.phases import setbacks
from trainer_service.phases.head import images as head_images
from trainer_service.phases.prepare import reading_step
from trainer_service.phases.setbacks import MOST_TRIES, Setbacks, persevere
from trainer_service.phases.tune import checkpoint
from trainer_service.phases.tune.checkpoint import Checkpoint
from trainer_service.phases.tune.phase import CHECKPOINT
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import COMPUTE_SHARD, Step
from trainer_service.queue.view import QueueView
from trainer_service.store.records import record_store
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import CacheUse, State
from trainer_service.store.shards import ShardResult
from trainer_service.worker import tasks

pytestmark = pytest.mark.integration

ESTALE = OSError(errno.ESTALE, os.strerror(errno.ESTALE))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(setbacks, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(setbacks, "LAST_PAUSE", 0)


def warnings_of(worker, training_id):
    events = worker.stores.events.read(training_id)
    return [event.detail for event in events if getattr(event, "code", None) == "tried_again"]


def images_with_features(computing):
    with computing.work() as work:
        return head_images.images_with_features(work)


@dataclass
class Job:
    """A step of the training that is done with perseverance, as `Work` is, without its lease."""

    worker: Worker
    notes_directory: Path
    check_cancelled: Callable[[], None] = lambda: None
    step: Step = field(default_factory=lambda: Step(COMPUTE_SHARD, ("x", 0)))

    def warn(self, reason):
        """Tell nobody."""


def job_of(computing, **fields):
    return Job(computing.worker, computing.shards.directory, **fields)


def while_waiting(monkeypatch, act):
    """Do something in the first pause."""
    acts = iter([act])
    monkeypatch.setattr(setbacks, "_wait", lambda *_: next(acts, lambda: None)())


def test_a_folder_that_is_away_for_a_moment_costs_no_image(computing, monkeypatch):
    away = computing.pets.with_name("away")
    computing.pets.rename(away)
    while_waiting(monkeypatch, lambda: away.rename(computing.pets))

    computing.compute()

    assert computing.shards.complete()
    assert computing.rejected() == []
    (why,) = warnings_of(computing.worker, computing.record.id)
    assert why.startswith("A step is tried again: ")
    assert str(computing.pets) in why


def test_a_warning_that_can_not_be_written_ends_no_training(computing, monkeypatch):
    away = computing.pets.with_name("away")
    computing.pets.rename(away)
    while_waiting(monkeypatch, lambda: away.rename(computing.pets))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(computing.worker.stores.events, "append_once", full)
    computing.compute()

    assert computing.shards.complete()


def test_a_part_of_the_folder_that_is_away_for_a_moment_costs_no_image(computing, monkeypatch):
    away = computing.pets.parent / "cat"
    (computing.pets / "cat").rename(away)
    while_waiting(monkeypatch, lambda: away.rename(computing.pets / "cat"))

    computing.compute()

    assert computing.shards.complete()
    assert computing.rejected() == []


def test_single_images_that_are_lost_are_told_as_rejected(computing):
    (computing.pets / "cat/0.png").unlink()
    (computing.pets / "dog/101.png").write_bytes(b"other")

    computing.compute()

    assert set(computing.rejected()) == {computing.images[n].sha256 for n in (0, 101)}
    good = images_with_features(computing)
    assert len(good) == IMAGES - 2
    details = {image.name: image.detail for image in computing.record.dataset.rejected}
    assert "No such file" in details["cat/0.png"]
    assert "has changed" in details["dog/101.png"]


def test_the_record_counts_the_images_that_are_left(computing):
    """Beside those that the reader has rejected, which the record of the dataset names."""
    copy = RejectedImage(name="copy.png", label="cat", verdict="duplicate", detail="of cat/2.png")

    def reject(dataset):
        dataset.reject([copy], {"duplicate": 1})

    computing.worker.stores.datasets.update(computing.dataset_id, reject)
    (computing.pets / "cat/0.png").unlink()
    computing.compute()
    images_with_features(computing)

    record = computing.record
    assert (record.dataset.images, record.dataset.labels) == (199, {"cat": 99, "dog": 100})
    assert [image.name for image in record.dataset.rejected] == ["cat/0.png", "copy.png"]
    assert record.dataset.rejected[0].label == "cat"
    assert record.dataset.verdicts == {"unreadable": 1, "duplicate": 1}
    assert record.dataset.rejected_count == 2
    assert record.cache.computed == 199


def test_features_that_were_there_are_not_counted_as_computed(computing):
    def reuse(record):
        record.cache = CacheUse(reused=60, computed=0, seconds_saved=3)

    computing.worker.stores.trainings.update(computing.id, reuse)
    computing.compute()
    images_with_features(computing)

    cache = computing.record.cache
    assert (cache.reused, cache.computed, cache.seconds_saved) == (60, 140, 3)


def test_more_lost_images_end_the_training_for_now_and_nothing_is_published(computing):
    for number in (0, 50, 100):
        (computing.pets / f"cat/{number}.png").unlink()

    rounds = 0
    while not computing.record.state.ended:
        computing.compute()
        rounds += 1

    assert rounds == MOST_TRIES + 1  # one before all other shards were done
    error = computing.record.error
    assert (computing.record.state, error.transient) == (State.FAILED, True)
    assert "3 of the 200 images are gone" in error.detail
    assert "cat/100.png: The file can't be read: No such file or directory" in error.detail
    told = warnings_of(computing.worker, computing.record.id)
    assert "3 of the 200 images are gone" in told[-1]
    assert len(told) == len(set(told)) <= rounds


def test_what_was_lost_in_shards_at_once_is_counted_before_the_head_is_trained(computing):
    for number in range(7):
        first = computing.shards.images(number)[0].sha256
        result = ShardResult(computed=31, seconds=1, rejected={first: "gone"}, lost=[first])
        computing.shards.finish(number, result)

    with pytest.raises(TransientFailure, match=r"7 of the 200 images .* cat/\d+\.png: gone"):
        images_with_features(computing)


def test_images_that_can_not_be_decoded_are_no_loss_that_ends_a_training(computing):
    for number in range(7):
        first = computing.shards.images(number)[0].sha256
        result = ShardResult(computed=31, seconds=1, rejected={first: "damaged"})
        computing.shards.finish(number, result)

    assert len(images_with_features(computing)) == IMAGES - 7


def test_a_training_fails_that_has_lost_all_images_of_a_label(computing):
    images = [*computing.images[:-1], replace(computing.images[-1], label="bird")]
    save_images(computing.worker.stores.datasets.directory(computing.dataset_id), images)
    bird = images[-1].sha256
    computing.shards.finish(6, ShardResult(computed=7, seconds=1, rejected={bird: "gone"}))

    with pytest.raises(TransientFailure, match=r"1 of the labels: 'bird'"):
        images_with_features(computing)


def test_of_a_small_dataset_one_image_may_be_lost(computing):
    result = ShardResult(computed=1, seconds=1, rejected={"a": "gone"}, lost=["a"])
    images = computing.images[:10]
    images[0] = replace(images[0], sha256="a")

    head_images._require_few_lost(images, [result])


def test_a_shard_of_a_disk_that_hiccups_is_tried_again(computing, monkeypatch):
    faults = iter([ESTALE] * 3)
    read = ImageFiles._read

    def _read(self, name):
        for fault in faults:
            raise fault
        return read(self, name)

    monkeypatch.setattr(ImageFiles, "_read", _read)
    computing.compute()

    assert computing.shards.complete()
    assert computing.rejected() == []


def faulty_records(monkeypatch, kind, faults):
    """Let records of a kind be unreadable for so many looks at them."""
    left = iter(range(faults))
    read = record_store.read_small

    def read_small(file, most):
        if file.parent.parent.name == kind:
            for _ in left:
                raise ESTALE
        return read(file, most)

    monkeypatch.setattr(record_store, "read_small", read_small)


def test_a_record_that_can_not_be_read_for_a_moment_ends_no_training(computing, monkeypatch):
    faulty_records(monkeypatch, "datasets", 3)
    computing.compute()

    assert computing.shards.complete()
    assert computing.record.state == State.BOTTLENECK


def test_a_dataset_whose_record_can_not_be_read_for_a_moment_is_waited_for(computing, monkeypatch):
    stores = computing.worker.stores
    stores.datasets.update(
        computing.dataset_id, lambda record: setattr(record, "state", DatasetState.QUEUED)
    )
    stores.trainings.update(computing.id, lambda record: setattr(record, "state", State.QUEUED))
    faulty_records(monkeypatch, "datasets", 1)
    training.prepare(computing.worker, computing.id)

    assert computing.record.state == State.QUEUED
    assert computing.submitted() == 1


def test_a_cancellation_check_that_fails_ends_no_pause(computing, monkeypatch):
    monkeypatch.setattr(setbacks, "PAUSES", (setbacks.POLL_SECONDS,))
    monkeypatch.setattr(setbacks, "POLL_SECONDS", 0)
    faults, looks = iter([ESTALE]), []

    def work():
        for fault in faults:
            raise fault

    def check_cancelled():
        looks.append(1)
        raise ESTALE

    assert persevere(job_of(computing, check_cancelled=check_cancelled), work)
    assert looks


def test_a_worker_that_does_not_see_the_images_leaves_them_to_others(computing, tmp_path):
    view, me = QueueView(computing.redis), setbacks.this_worker()
    view.sign_in(me, 60)
    view.sign_in("elsewhere:1", 60)
    seeing = computing.pets
    seeing.rename(tmp_path / "pets")

    for _ in range(MOST_TRIES + 1):
        computing.compute()
        assert computing.record.state == State.BOTTLENECK
    (tmp_path / "pets").rename(seeing)
    computing.compute()
    assert computing.shards.complete()
    assert computing.rejected() == []


def test_a_worker_lets_go_of_a_step_before_it_pauses_and_longer_each_time(computing, monkeypatch):
    """So another worker can take it, and no worker tries it over and over."""
    computing.pets.rename(computing.pets.with_name("away"))
    pauses = []

    def wait(seconds, _):
        held = computing.worker.stores.trainings.directory(computing.id).glob("shards/*.lease")
        pauses.append((seconds, computing.submitted(), len(list(held))))

    monkeypatch.setattr(setbacks, "LAST_PAUSE", 8)
    monkeypatch.setattr(setbacks, "PAUSES", ())
    monkeypatch.setattr(setbacks, "_wait", wait)
    for _ in range(MOST_TRIES):
        training.compute_shard(computing.worker, computing.id, 3)

    assert computing.record.state.ended
    assert pauses == [(2, 1, 0), (4, 2, 0), (8, 3, 0), (8, 4, 0)]


def test_when_no_worker_sees_the_images_the_training_ends_and_says_who_saw_what(computing):
    QueueView(computing.redis).sign_in("elsewhere:1", 60)
    for _ in range(MOST_TRIES):
        Setbacks(computing.shards.directory).add(
            "elsewhere:1", "HEADSTART_DATASETS: /data is not there."
        )
    computing.pets.rename(computing.pets.with_name("away"))

    for _ in range(MOST_TRIES):
        computing.compute()

    error = computing.record.error
    assert (error.type, error.transient) == ("TransientFailure", True)
    assert "elsewhere:1: HEADSTART_DATASETS: /data is not there; " in error.detail
    assert f"{setbacks.this_worker()}: HEADSTART_DATASETS: this worker can't" in error.detail
    assert str(computing.pets) in error.detail


def test_a_dataset_that_can_not_be_read_here_is_left_to_others(computing, tmp_path):
    stores = computing.worker.stores
    stores.datasets.update(
        computing.dataset_id, lambda record: setattr(record, "state", DatasetState.QUEUED)
    )
    stores.trainings.update(computing.id, lambda record: setattr(record, "state", State.QUEUED))
    computing.shards.clear()
    computing.pets.rename(tmp_path / "pets")

    training.prepare(computing.worker, computing.id)
    for _ in range(MOST_TRIES):
        assert not stores.datasets.get(computing.dataset_id).error
        reading_step.read_dataset(computing.worker, computing.dataset_id)
    training.prepare(computing.worker, computing.id)

    assert computing.record.error.type == "TransientFailure"
    assert "HEADSTART_DATASETS" in computing.record.error.detail
    (why,) = warnings_of(computing.worker, computing.id)
    assert "HEADSTART_DATASETS" in why
    assert Setbacks(stores.datasets.directory(computing.dataset_id)).notes() == []


def test_a_note_that_can_not_be_removed_undoes_nothing(computing, monkeypatch):
    def stale(*_):
        raise ESTALE

    monkeypatch.setattr(Setbacks, "forget", stale)
    computing.compute()

    assert computing.shards.complete()
    assert computing.record.error is None


def test_a_setback_that_can_not_be_noted_ends_no_training(computing, monkeypatch):
    away = computing.pets.with_name("away")
    computing.pets.rename(away)

    def stale(*_):
        raise ESTALE

    with monkeypatch.context() as patch:
        patch.setattr(Setbacks, "add", stale)
        computing.compute()
    assert computing.record.error is None
    away.rename(computing.pets)
    computing.compute()

    assert computing.shards.complete()


@pytest.mark.parametrize("fault", [ESTALE, MemoryError(), NotSeenHere("not here")])
def test_faults_of_the_machine_are_tried_again_a_limited_number_of_times(computing, fault):
    tries = []

    def work():
        tries.append(fault)
        raise fault

    for _ in range(MOST_TRIES - 1):
        persevere(job_of(computing), work)
    with pytest.raises(TransientFailure, match=f"has tried it {MOST_TRIES} times"):
        persevere(job_of(computing), work)
    assert len(tries) == MOST_TRIES + len(setbacks.PAUSES)


def test_a_step_that_succeeds_resets_the_tries(computing):
    def fail():
        raise ESTALE

    for work in [fail] * (MOST_TRIES - 1) + [lambda: None] + [fail] * (MOST_TRIES - 1):
        persevere(job_of(computing), work)


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("not of the system"),
        InvalidDataset("odd"),
        TransientFailure("for long enough"),
        TrainingCancelled("enough"),
    ],
)
def test_other_faults_are_not_tried_again(computing, fault):
    tries = []

    def work():
        tries.append(fault)
        raise fault

    with pytest.raises(type(fault)):
        persevere(job_of(computing), work)
    assert len(tries) == 1


def test_a_pause_ends_when_the_training_is_cancelled(computing, monkeypatch):
    monkeypatch.setattr(setbacks, "PAUSES", (3600,))

    def fail():
        raise ESTALE

    def check_cancelled():
        raise TrainingCancelled("enough")

    with pytest.raises(TrainingCancelled):
        persevere(job_of(computing, check_cancelled=check_cancelled), fail)


def test_while_redis_is_away_nobody_gives_up(computing):
    worker = Worker(
        computing.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}),
        computing.worker.stores,
        computing.worker.board,
        computing.worker.queue,
    )

    def fail():
        raise ESTALE

    for _ in range(MOST_TRIES + 2):
        persevere(Job(worker, computing.shards.directory), fail)


@pytest.mark.parametrize("place", ["training/shards", "dataset"])
def test_nothing_is_made_again_of_what_was_removed_meanwhile(tmp_path, place):
    notes = Setbacks(tmp_path / place)
    with pytest.raises(FileNotFoundError):
        notes.add("a:1", "the disk fails")
    assert list(tmp_path.iterdir()) == []

    (tmp_path / place.split("/")[0]).mkdir()
    assert [note.reason for note in notes.add("a:1", "the disk fails")] == ["the disk fails"]


def test_a_damaged_note_counts_for_nothing(tmp_path):
    notes = Setbacks(tmp_path)
    notes.add("a:1", "odd")
    (tmp_path / "setbacks/b:1.json").write_bytes(b"\x00")

    assert [(note.worker, note.tries) for note in notes.add("a:1", "odd")] == [("a:1", 2)]


def published(computing):
    """Publish a version of the training, as a worker has that was killed right after."""
    computing.compute()
    publish_tiny_model(computing.settings.store, computing.record.model, training_id=computing.id)


def full_for(monkeypatch, computing, times):
    """Let the disk be full the first few times that the evaluation is to be kept."""
    trainings = computing.worker.stores.trainings
    keep, refusals = trainings.keep_evaluation, iter(range(times))

    def refuse(*arguments):
        if next(refusals, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        keep(*arguments)

    monkeypatch.setattr(trainings, "keep_evaluation", refuse)


def test_a_version_that_is_published_is_not_lost_to_a_full_disk(computing, monkeypatch):
    """The record says so as soon as there is space again, however long that takes."""
    published(computing)
    full_for(monkeypatch, computing, 3 * MOST_TRIES)

    for _ in range(3 * MOST_TRIES):
        with pytest.raises(OSError, match="No space left"):
            training.finish(computing.worker, computing.id)
        assert computing.record.state == State.BOTTLENECK
    training.finish(computing.worker, computing.id)

    record = computing.record
    assert (record.state, record.version, record.error) == (State.SUCCEEDED, 1, None)


def tuned_training(computing, monkeypatch, refusals, *, on_disk=True):
    """Let a training be finished that tunes, and whose version the disk refuses so many times.

    Returns:
        What is noted of each try: whether it had to tune.
    """
    computing.compute()
    tuned, left = [], iter(range(refusals))

    def tune(work, _):
        file = work.shards.directory / CHECKPOINT
        tuned.append(checkpoint.load(file, "key") is None)
        if tuned[-1]:
            checkpoint.keep(file, Checkpoint("key", [], 0, None, [], []))

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def publish(work, _):
        for _ in left:
            refuse()
        return publish_tiny_model(
            computing.settings.store, work.record.model, training_id=computing.id
        )

    if not on_disk:
        monkeypatch.setattr(checkpoint, "save", refuse)
    monkeypatch.setattr(training, "fit", lambda _: None)
    monkeypatch.setattr(training, "tune_if_asked", tune)
    monkeypatch.setattr(training, "evaluate_network", lambda *_: None)
    monkeypatch.setattr(training, "publish", publish)
    return tuned


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_full_disk_at_publishing_costs_no_tuning(computing, monkeypatch, on_disk):
    tuned = tuned_training(computing, monkeypatch, 3, on_disk=on_disk)

    training.finish(computing.worker, computing.id)

    assert (computing.record.state, computing.record.version) == (State.SUCCEEDED, 1)
    assert tuned == [True] + [False] * 3
    assert warnings_of(computing.worker, computing.id) == [
        "A step is tried again: No space left on device"
    ]
    assert not checkpoint._refused


def test_a_disk_that_stays_full_ends_a_tuned_training_for_now(computing, monkeypatch):
    tuned = tuned_training(computing, monkeypatch, 10 * MOST_TRIES, on_disk=False)

    for _ in range(MOST_TRIES):
        assert not computing.record.state.ended
        training.finish(computing.worker, computing.id)

    error = computing.record.error
    assert (computing.record.state, error.transient) == (State.FAILED, True)
    assert "No space left on device" in error.detail
    assert tuned == [True] + [False] * (len(tuned) - 1)
    assert not checkpoint._refused, "it would stay in memory"


def test_a_full_disk_ends_a_training_that_has_tuned_nothing(computing, monkeypatch):
    tuned_training(computing, monkeypatch, 10)
    monkeypatch.setattr(training, "tune_if_asked", lambda *_: None)

    training.finish(computing.worker, computing.id)

    assert computing.record.state == State.FAILED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "0.lease"),
            f"Permission denied (user id {os.geteuid()}): trainings/1/shards",
        ),
        (RecordUnwritable("It can't be."), "It can't be."),
    ],
)
def test_what_keeps_its_steps_from_being_begun_is_told_once(computing, monkeypatch, error, reason):
    """Such a step fails no training, and is submitted again until somebody mends the store."""

    def refuse(_, __, number):
        if isinstance(error, OSError):
            error.filename = f"trainings/1/shards/{number}.lease"
        raise error

    monkeypatch.setattr(tasks, "worker", lambda: computing.worker)
    monkeypatch.setattr(training, "compute_shard", refuse)
    for number in (0, 1, 2):
        tasks.compute_shard(computing.id, number)

    assert warnings_of(computing.worker, computing.id) == [f"A step is tried again: {reason}"]
    assert computing.record.state == State.BOTTLENECK
