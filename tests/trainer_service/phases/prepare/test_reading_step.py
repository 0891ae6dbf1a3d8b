"""Reading a dataset is a step of its own: for itself, and for all trainings that wait for it."""

import json
import zipfile

import numpy as np
import pytest

from shared.errors import Unavailable
from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import new_record
from trainer_service import training
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.datasets import reading
from trainer_service.datasets.create import UPLOAD_FILE, new_dataset
from trainer_service.errors import InvalidDataset
from trainer_service.phases import setbacks
from trainer_service.phases.bottleneck import shard
from trainer_service.phases.prepare import plan, reading_step
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import PREPARE, READ_DATASET, Step
from trainer_service.queue.view import QUEUE
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.files.lease import MAX_DEATHS, Holder
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.training_record import (
    State,
)
from trainer_service.store.shards import ShardResult, Shards
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import WaitingTrainings

pytestmark = pytest.mark.integration

IMAGES = 20


class Scene:
    """A store with a dataset that is not read yet, and a worker whose queue is a list."""

    def __init__(self, settings):
        self.settings = settings
        self.stores = Stores.open(settings)
        self.submitted = []
        board = ProgressBoard(self.stores.events)
        self.worker = Worker(settings, self.stores, board, self)
        self.dataset = self.a_dataset()

    def submit(self, steps):
        self.submitted += [step.id for step in steps]

    def a_dataset(self, *, submitted=False):
        record = new_dataset("pets.zip", path=False, submitted=submitted)
        with zipfile.ZipFile(self.stores.datasets.create(record) / UPLOAD_FILE, "w") as archive:
            for number in range(IMAGES // 2):
                archive.writestr(f"cat/{number}.png", picture((200, number, 0)))
                archive.writestr(f"dog/{number}.png", picture((0, number, 200)))
        return record.id

    def a_training(self, *, dataset=None):
        record = new_record(dataset=dataset or self.dataset)
        self.stores.trainings.create(record)
        return record.id

    def one_that_waits(self):
        training_id = self.a_training()
        training.prepare(self.worker, training_id)
        self.submitted.clear()
        return training_id

    def cancel(self, training_id):
        answer = caller(self.settings)("POST", f"/v1/trainings/{training_id}/cancel")
        assert answer.json()["state"] == "cancelled"

    def read(self):
        reading_step.read_dataset(self.worker, self.dataset)

    def state(self, training_id):
        return self.stores.trainings.get(training_id).state

    def progress(self, training_id):
        return self.worker.board.read(training_id, State.PREPARING)

    def waiting(self):
        return WaitingTrainings(self.stores.datasets.directory(self.dataset)).ids()


def read_step(dataset_id):
    return Step(READ_DATASET, (dataset_id,)).id


def prepare_step(training_id):
    return Step(PREPARE, (training_id,)).id


@pytest.fixture
def scene(tmp_path, redis_url):
    connect(redis_url).flushall()
    return Scene(TrainerSettings(store=tmp_path / "store", redis_url=redis_url))


@pytest.fixture
def while_read(monkeypatch):
    """Do something once a few images of a dataset are read, and look at all that wait then."""
    monkeypatch.setattr(reading_step, "POLL_INTERVAL", 0.0)
    told = reading_step.Audience.__call__

    def do(action):
        def tell(audience, done, total):
            if done == 5:
                action()
            told(audience, done, total)

        monkeypatch.setattr(reading_step.Audience, "__call__", tell)

    return do


def test_a_training_waits_as_a_record_until_its_dataset_is_read(scene):
    first, second = scene.a_training(), scene.a_training()
    for training_id in (first, second):
        training.prepare(scene.worker, training_id)
    assert scene.submitted == [read_step(scene.dataset)] * 2
    assert (scene.state(first), scene.waiting()) == (State.QUEUED, [first, second])
    scene.submitted.clear()

    scene.read()
    assert scene.submitted == [prepare_step(first), prepare_step(second)]
    assert scene.waiting() == []
    for training_id in (first, second):
        assert scene.state(training_id) == State.PREPARING
        progress = scene.progress(training_id)
        assert (progress.done, progress.total) == (IMAGES, IMAGES)
    scene.read()
    assert len(scene.submitted) == 2


def test_posted_trainings_have_their_datasets_read_in_that_order(scene, redis_url):
    call = caller(scene.settings)
    other = scene.a_dataset()
    posted = []
    for dataset in (scene.dataset, other, scene.dataset):
        body = {"architecture": "efficientnet_lite0", "dataset": dataset}
        posted.append(call("POST", "/v1/trainings", json=body).json()["id"])
    assert scene.waiting() == [posted[0], posted[2]]

    lines = connect(redis_url).lrange(QUEUE, 0, -1)
    queued = [json.loads(line)["headers"]["id"] for line in reversed(lines)]
    assert queued == list(map(read_step, (scene.dataset, other, scene.dataset)))


def test_while_another_reads_the_dataset_no_worker_waits(scene):
    training_id = scene.a_training()
    with scene.stores.datasets.lease(scene.dataset):
        training.prepare(scene.worker, training_id)
        scene.read()
        assert scene.state(training_id) == State.PREPARING
        assert scene.submitted == [read_step(scene.dataset)]
        scene.cancel(training_id)
    scene.read()
    assert scene.submitted == [read_step(scene.dataset)]


def test_a_training_that_comes_while_its_dataset_is_read_is_told_and_prepared(scene, while_read):
    first, later = scene.one_that_waits(), scene.a_training()
    while_read(lambda: training.prepare(scene.worker, later))
    scene.read()
    assert scene.state(later) == State.PREPARING
    assert scene.progress(later).done == IMAGES
    steps = [read_step(scene.dataset), prepare_step(first), prepare_step(later)]
    assert scene.submitted == steps


def test_a_reading_that_nobody_wants_any_more_ends(scene, while_read):
    trainings = [scene.one_that_waits(), scene.one_that_waits()]
    while_read(lambda: [scene.cancel(training_id) for training_id in trainings])
    scene.read()

    dataset = scene.stores.datasets.get(scene.dataset)
    assert (dataset.state, dataset.error) == (DatasetState.QUEUED, None)
    assert scene.submitted == []
    later = scene.one_that_waits()
    scene.read()
    assert scene.submitted == [prepare_step(later)]


def test_a_dataset_whose_trainings_were_cancelled_in_the_queue_is_not_read(scene):
    scene.cancel(scene.one_that_waits())
    scene.read()

    assert scene.stores.datasets.get(scene.dataset).state == DatasetState.QUEUED
    assert scene.submitted == scene.waiting() == []


@pytest.mark.parametrize("file", ["record.json", ".record.lock", ".progress.lock"])
def test_a_fault_of_one_training_does_not_hold_up_the_others_of_its_dataset(scene, file):
    broken, sound = scene.one_that_waits(), scene.one_that_waits()
    damaged = scene.stores.trainings.directory(broken) / file
    damaged.unlink(missing_ok=True)
    damaged.mkdir()
    scene.read()

    assert scene.stores.datasets.get(scene.dataset).state == DatasetState.READY
    assert prepare_step(sound) in scene.submitted
    assert scene.progress(sound).done == IMAGES


@pytest.mark.parametrize("wanted_by", ["itself", "another"])
def test_a_reading_that_is_still_wanted_goes_on(scene, while_read, wanted_by):
    if wanted_by == "itself":
        scene.dataset = scene.a_dataset(submitted=True)
    cancelled = scene.one_that_waits()
    others = [scene.one_that_waits()] if wanted_by == "another" else []
    while_read(lambda: scene.cancel(cancelled))
    scene.read()

    assert scene.stores.datasets.get(scene.dataset).state == DatasetState.READY
    assert scene.submitted == list(map(prepare_step, others))


def test_a_cancellation_while_the_lease_is_held_is_carried_out_by_its_holder(scene, monkeypatch):
    """The API leaves it to the holder of the lease, which may hold it for an instant only."""
    training_id = scene.a_training()
    wait = plan.wait_for_dataset

    def cancelled_meanwhile(*arguments):
        call = caller(scene.settings)
        assert call("POST", f"/v1/trainings/{training_id}/cancel").json()["state"] == "queued"
        return wait(*arguments)

    monkeypatch.setattr(plan, "wait_for_dataset", cancelled_meanwhile)
    training.prepare(scene.worker, training_id)
    assert scene.state(training_id) == State.CANCELLED


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (InvalidDataset("odd"), False),
        (OSError(116, "Stale file handle"), True),
        (RuntimeError("a fault of ours"), True),
    ],
)
def test_every_waiting_training_gets_the_reason_why_its_dataset_can_not_be_read(
    scene, monkeypatch, error, transient
):
    trainings = [scene.one_that_waits(), scene.one_that_waits()]

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(reading, "read_dataset", fail)
        scene.read()
    assert scene.submitted == list(map(prepare_step, trainings))
    for training_id in trainings:
        training.prepare(scene.worker, training_id)
        record = scene.stores.trainings.get(training_id)
        assert (record.state, record.error.type) == (State.FAILED, type(error).__name__)
        assert str(error.args[-1]) in record.error.detail

    assert scene.stores.datasets.get(scene.dataset).error.transient == transient
    body = {"architecture": "efficientnet_lite0", "dataset": scene.dataset}
    answer = caller(scene.settings)("POST", "/v1/trainings", json=body)
    assert answer.status_code == (202 if transient else 422)
    state = scene.stores.datasets.get(scene.dataset).state
    assert state == (DatasetState.QUEUED if transient else DatasetState.FAILED)


def test_a_reading_that_has_failed_for_now_is_not_tried_again_in_the_same_step(scene, monkeypatch):
    """The failure is recorded; another try would only find it, after a pause."""
    training_id, pauses = scene.one_that_waits(), []
    monkeypatch.setattr(setbacks, "_wait", lambda *_: pauses.append(1))

    def stale(*_, **__):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(reading, "read_dataset", stale)
    scene.read()
    assert (scene.submitted, pauses) == ([prepare_step(training_id)], [])


def test_a_training_that_can_not_be_looked_at_for_a_moment_still_waits(scene, monkeypatch):
    training_id = scene.one_that_waits()
    get, faults = scene.stores.trainings.get, iter([Unavailable("Stale file handle")])

    def once_stale(record_id):
        for fault in faults:
            raise fault
        return get(record_id)

    monkeypatch.setattr(scene.stores.trainings, "get", once_stale)
    scene.read()
    assert scene.submitted == [prepare_step(training_id)]


def test_a_failure_that_could_not_be_recorded_is_left_to_the_search_for_lost_steps(
    scene, monkeypatch
):
    """Otherwise it would be read again and again, without a pause."""
    scene.one_that_waits()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reading, "read_dataset", full)
    monkeypatch.setattr(reading, "record_failure", full)
    scene.read()
    assert scene.submitted == []
    assert len(scene.waiting()) == 1


def test_a_dataset_that_kills_every_worker_fails_all_trainings_that_waited_for_it(scene):
    training_id = scene.one_that_waits()
    holder = Holder(host="h", pid=1, deaths=MAX_DEATHS - 1)
    scene.stores.datasets.lease_file(scene.dataset).write_text(holder.model_dump_json())
    scene.read()
    training.prepare(scene.worker, training_id)

    assert scene.stores.trainings.get(training_id).error.type == "WorkersDied"


@pytest.mark.parametrize("damage", ["removed", "unreadable"])
def test_a_removed_dataset_fails_all_trainings_that_waited_for_it(scene, damage):
    training_id = scene.one_that_waits()
    if damage == "removed":
        scene.stores.datasets.delete(scene.dataset)
    else:
        (scene.stores.datasets.directory(scene.dataset) / "record.json").write_text("{")
    scene.read()
    training.prepare(scene.worker, training_id)
    assert scene.state(training_id) == State.FAILED


class FeatureComputer:
    """Computes nothing, and counts for how many images."""

    def __init__(self):
        self.images = 0

    def compute(self, images, *_):
        self.images += len(images)
        names = [image.sha256 for image in images]
        result = ShardResult(computed=len(images), seconds=1, rejected={})
        width = CATALOGUE["efficientnet_lite0"].feature_size_of("all")
        return names, np.zeros((len(images), width), np.float32), result


def test_what_another_training_has_computed_meanwhile_is_not_computed_again(scene, monkeypatch):
    """Both were planned before anything was computed: short steps overtake shards."""
    computer = FeatureComputer()
    monkeypatch.setattr(shard, "feature_computer_for", lambda *_: computer)
    trainings = [scene.one_that_waits(), scene.one_that_waits()]
    scene.read()
    for step in (training.prepare, lambda *about: training.compute_shard(*about, 0)):
        for training_id in trainings:
            step(scene.worker, training_id)

    assert computer.images == IMAGES
    for training_id in trainings:
        assert Shards(scene.stores.trainings.directory(training_id)).complete()
        progress = scene.worker.board.read(training_id, State.BOTTLENECK)
        assert (progress.done, progress.total) == (IMAGES, IMAGES)


def test_what_a_killed_process_was_reading_is_no_longer_read_once_nobody_wants_it(scene):
    training_id = scene.one_that_waits()
    datasets = scene.stores.datasets
    datasets.update(scene.dataset, lambda record: setattr(record, "state", DatasetState.READING))
    scene.cancel(training_id)
    with datasets.lease(scene.dataset):
        scene.read()
        assert datasets.get(scene.dataset).state == DatasetState.READING

    scene.read()

    assert datasets.get(scene.dataset).state == DatasetState.QUEUED
    assert not scene.submitted


def test_a_training_whose_images_are_not_seen_here_is_not_begun(scene, monkeypatch):
    """Also if it computes nothing: publishing needs some of them, after all the work."""
    monkeypatch.setattr(setbacks, "PAUSES", (0, 0))
    monkeypatch.setattr(setbacks, "LAST_PAUSE", 0)
    training_id = scene.one_that_waits()
    scene.read()
    scene.submitted.clear()
    images = scene.stores.datasets.directory(scene.dataset) / "images"
    images.rename(images.with_name("away"))
    training.prepare(scene.worker, training_id)
    assert Shards(scene.stores.trainings.directory(training_id)).count() is None
    assert scene.submitted == [prepare_step(training_id)]

    images.with_name("away").rename(images)
    training.prepare(scene.worker, training_id)
    assert scene.state(training_id) == State.BOTTLENECK
