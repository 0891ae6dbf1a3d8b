"""The first step of a pre-trained network, and which one comes next."""

from types import SimpleNamespace

import pytest

from trainer_service import training
from trainer_service.backbones import weights
from trainer_service.inline import InlineQueue
from trainer_service.phase_table import next_steps
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import FINISH, PREPARE, Step
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.service.pretrained import submit_pretrained
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import State
from trainer_service.store.shards import Shards
from trainer_service.store.stores import Stores


@pytest.fixture
def job(tmp_path):
    """A job that waits, and a worker."""
    settings = TrainerSettings(
        store=tmp_path / "store", weights=tmp_path / "w", redis_url="redis://127.0.0.1:1/0"
    )
    stores, queue = Stores.open(settings), SteppedQueue()
    worker = Worker(settings, stores, ProgressBoard(stores.events), queue)
    trainer = SimpleNamespace(settings=settings, stores=stores, queue=InlineQueue())
    request = PretrainedRequest(name="imagenet", pretrained="efficientnet_lite0")
    record = submit_pretrained(trainer, request)
    return SimpleNamespace(
        id=record.id,
        worker=worker,
        submitted=queue.steps,
        record=lambda: stores.trainings.get(record.id),
        shards=Shards(stores.trainings.directory(record.id)),
        stores=stores,
    )


class SteppedQueue:
    def __init__(self):
        self.steps = []

    def submit(self, steps):
        self.steps += steps


def test_it_goes_from_preparing_straight_to_publishing(job):
    assert next_steps(job.record(), job.shards) == [Step(PREPARE, (job.id,))]

    training.prepare(job.worker, job.id)

    assert [one.state for one in job.record().transitions] == ["queued", "preparing", "publishing"]
    assert job.submitted == [Step(FINISH, (job.id,))]
    assert next_steps(job.record(), job.shards) == job.submitted  # if it gets lost


def test_a_worker_that_dies_before_it_was_noted_leaves_the_first_step(job):
    job.stores.trainings.update(job.id, lambda record: record.enter(State.PREPARING))
    job.shards.plan([], "f32")

    assert next_steps(job.record(), job.shards) == [Step(PREPARE, (job.id,))]
    training.prepare(job.worker, job.id)
    assert job.record().state == State.PUBLISHING


def test_weights_that_are_gone_by_then_are_told(job, monkeypatch):
    monkeypatch.setattr(weights, "_package_file", lambda: None)
    training.prepare(job.worker, job.id)

    record = job.record()
    assert record.state == State.FAILED
    assert "efficientnet_lite0 with its classifier for ImageNet are not" in record.error.detail


def test_one_that_was_cancelled_is_not_published(job):
    training.prepare(job.worker, job.id)
    job.stores.trainings.ask(job.id, lambda record: setattr(record, "cancel_requested", True))

    training.finish(job.worker, job.id)

    assert job.record().state == State.CANCELLED
    assert not (job.worker.settings.store / "models").exists()
