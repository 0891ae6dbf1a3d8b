"""The search for lost steps, on a real Redis: it finds lost steps and leaves others alone."""

import json
import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from shared.errors import Unavailable
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import (
    new_comparison_record,
    new_dataset_record,
    new_record,
)
from trainer_service import training
from trainer_service.phases.work import Worker
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.steps import COMPUTE_SHARD, FINISH, PREPARE, READ_DATASET, Step
from trainer_service.queue.task_queue import TaskQueue, WorkerQueue
from trainer_service.queue.view import QUEUE_KEYS, QueueView
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.files.lease import MAX_DEATHS, Holder, lease
from trainer_service.store.records.comparison_record import ComparisonState
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.training_record import (
    State,
)
from trainer_service.store.shards import ShardImage, ShardResult, Shards
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import WaitingTrainings
from trainer_service.worker.lost_steps import LostSteps

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_SECONDS = 20
NOWHERE = "redis://127.0.0.1:1/0"
RESULT = ShardResult(computed=1, seconds=1.0, rejected={})


class Trainer:
    """A store, a queue and a search with a clock of its own."""

    def __init__(self, store, redis_url):
        settings = TrainerSettings(store=store, redis_url=redis_url)
        self.stores = Stores.open(settings)
        self.redis = connect(redis_url)
        self.redis.flushall()
        self.queue = TaskQueue(create_celery(settings))
        self.now = 0.0
        self.search = self.another_search()

    def another_search(self, client=None):
        view = QueueView(client or self.redis)
        return LostSteps(self.stores, view, self.queue, LEASE_SECONDS, clock=lambda: self.now)

    def queued(self):
        """Return the ids on the queue in the order in which workers will get them."""
        lists = [reversed(self.redis.lrange(key, 0, -1)) for key in QUEUE_KEYS]
        return [json.loads(message)["headers"]["id"] for messages in lists for message in messages]

    def pass_time(self, searches=2):
        """Search as often as a worker does in so many intervals; return what was submitted."""
        submitted = []
        for _ in range(searches):
            # Redis has its own clock, which does not wait for ours.
            self.redis.delete("headstart:lost-steps")
            submitted += [step.id for step in self.search()]
            self.now += self.search.interval
        return submitted

    def training(self, number, state=State.QUEUED, dataset="20260101-000000-aaaaaa"):
        at = START + timedelta(seconds=number)
        record = new_record(
            state,
            at=at,
            # Ids of one second are in no order.
            record_id=f"20260101-000000-{(number * 7919) % 2**24:06x}",
            dataset=dataset,
        )
        self.stores.trainings.create(record)
        return record.id

    def planned(self, number):
        """Make a training in its bottleneck phase, with three shards."""
        training_id = self.training(number, State.BOTTLENECK)
        shards = Shards(self.stores.trainings.directory(training_id))
        shards.plan([ShardImage(sha256=f"{image}", path=f"/{image}") for image in range(96)], "f32")
        assert shards.count() == 3
        return training_id, shards

    def dataset(self, state, *, submitted):
        record = new_dataset_record(
            state,
            at=START,
            record_id=f"20260101-000000-{len(self.stores.datasets.briefs()):06x}",
            submitted=submitted,
        )
        self.stores.datasets.create(record)
        return record.id


@pytest.fixture
def trainer(tmp_path, redis_url):
    return Trainer(tmp_path, redis_url)


def test_forty_trainings_that_wait_are_left_alone(trainer):
    ids = [trainer.training(number) for number in range(40)]
    for training_id in ids:
        trainer.queue.prepare(training_id)

    assert trainer.pass_time(searches=20) == []
    assert trainer.queued() == [f"{PREPARE}:{training_id}" for training_id in ids]


def test_what_an_emptied_redis_lost_is_submitted_once_and_in_order(trainer):
    ids = [trainer.training(number) for number in range(40)]
    for training_id in ids:
        trainer.queue.prepare(training_id)
    trainer.redis.flushall()
    expected = [f"{PREPARE}:{training_id}" for training_id in ids]

    assert trainer.pass_time(searches=20) == expected
    assert trainer.queued() == expected


def test_a_step_that_was_only_just_fetched_is_not_lost(trainer):
    training_id = trainer.training(0)
    assert trainer.search() == []
    trainer.now += trainer.search.interval * 0.9
    assert trainer.search() == []
    with trainer.stores.trainings.lease(training_id):
        assert trainer.pass_time(searches=3) == []
    assert trainer.pass_time() == [f"{PREPARE}:{training_id}"]


def test_only_shards_that_nobody_has_or_computes_are_lost(trainer):
    training_id, shards = trainer.planned(0)
    shards.finish(0, RESULT)
    with lease(shards.lease_file(1)):
        assert trainer.pass_time() == [f"training.compute_shard:{training_id}:2"]


def test_a_training_with_all_its_shards_is_finished(trainer):
    training_id, shards = trainer.planned(0)
    for number in range(3):
        shards.finish(number, RESULT)

    assert trainer.pass_time() == [f"training.finish:{training_id}"]


@pytest.mark.parametrize("state", [State.HEAD, State.EVALUATING, State.PUBLISHING])
def test_a_training_whose_worker_died_later_is_finished(trainer, state):
    training_id, shards = trainer.planned(0)
    for number in range(3):
        shards.finish(number, RESULT)
    trainer.stores.trainings.update(training_id, lambda record: record.enter(state))

    assert trainer.pass_time() == [f"training.finish:{training_id}"]


def test_a_training_whose_plan_was_not_entered_is_prepared_again(trainer):
    training_id, _ = trainer.planned(0)
    trainer.training(0, State.PREPARING)  # the same record, in the state before

    assert trainer.pass_time() == [f"{PREPARE}:{training_id}"]


@pytest.mark.parametrize("state", [state for state in State if state.ended])
def test_what_has_ended_is_left_alone(trainer, state):
    trainer.training(0, state)
    assert trainer.pass_time(searches=10) == []


def test_a_training_that_ends_is_left_alone_from_then_on(trainer):
    training_id = trainer.training(0)
    assert len(trainer.pass_time()) == 1
    trainer.redis.flushall()
    trainer.stores.trainings.update(training_id, lambda record: record.enter(State.CANCELLED))
    assert trainer.pass_time(searches=10) == []


def test_datasets_that_were_submitted_by_themselves_are_read(trainer):
    queued = trainer.dataset(DatasetState.QUEUED, submitted=True)
    reading = trainer.dataset(DatasetState.READING, submitted=True)
    held = trainer.dataset(DatasetState.READING, submitted=True)
    trainer.dataset(DatasetState.READY, submitted=True)
    trainer.dataset(DatasetState.FAILED, submitted=True)
    trainer.dataset(DatasetState.QUEUED, submitted=False)

    with trainer.stores.datasets.lease(held):
        assert set(trainer.pass_time()) == {f"dataset.read:{queued}", f"dataset.read:{reading}"}


def test_a_dataset_that_a_killed_process_was_reading_is_looked_at_whoever_wants_it(trainer):
    left = trainer.dataset(DatasetState.READING, submitted=False)
    held = trainer.dataset(DatasetState.READING, submitted=False)

    with trainer.stores.datasets.lease(held):
        assert trainer.pass_time() == [f"{READ_DATASET}:{left}"]


def test_a_dataset_that_trainings_wait_for_is_read_once(trainer):
    dataset = trainer.dataset(DatasetState.QUEUED, submitted=False)
    waiting = WaitingTrainings(trainer.stores.datasets.directory(dataset))
    for number in range(2):
        waiting.add(trainer.training(number, dataset=dataset))
    later = trainer.training(2, dataset=dataset)
    read = f"{READ_DATASET}:{dataset}"

    assert trainer.pass_time(searches=20) == [read, f"{PREPARE}:{later}"]
    trainer.redis.flushall()
    with trainer.stores.datasets.lease(dataset):
        assert trainer.pass_time() == [f"{PREPARE}:{later}"]
    assert trainer.pass_time() == [read]


def test_trainings_that_nobody_told_of_their_dataset_are_prepared(trainer):
    dataset = trainer.dataset(DatasetState.READY, submitted=False)
    waiting = WaitingTrainings(trainer.stores.datasets.directory(dataset))
    ids = [trainer.training(number, dataset=dataset) for number in range(2)]
    for training_id in ids:
        waiting.add(training_id)

    assert trainer.pass_time() == [f"{PREPARE}:{training_id}" for training_id in ids]


def test_two_workers_that_search_at_once_submit_once(trainer):
    ids = {f"{PREPARE}:{trainer.training(number)}" for number in range(5)}
    other = trainer.another_search()
    for search in (trainer.search, other):
        search()
    trainer.now += trainer.search.interval
    submitted = [step.id for search in (trainer.search, other) for step in search()]

    assert sorted(submitted) == sorted(ids)
    assert sorted(trainer.queued()) == sorted(ids)


def test_while_redis_is_away_nothing_is_lost_and_nothing_raised(trainer):
    trainer.training(0)
    search = trainer.another_search(connect(NOWHERE))
    for _ in range(3):
        assert search() == []
        trainer.now += search.interval
    assert len(trainer.pass_time()) == 1


def test_a_step_that_cannot_be_submitted_fails_a_request_but_not_a_training(tmp_path):
    app = create_celery(TrainerSettings(store=tmp_path, redis_url=NOWHERE))
    step = Step(PREPARE, ("20260101-000000-aaaaaa",))

    with pytest.raises(Unavailable, match="Redis"):
        TaskQueue(app).submit([step])
    WorkerQueue(app).submit([step])


def test_a_training_that_kills_every_worker_fails_in_words(trainer, tmp_path, redis_url):
    training_id = trainer.training(0)
    trainer.stores.trainings.lease_file(training_id).write_text(
        Holder(host="h", pid=1, deaths=MAX_DEATHS - 1).model_dump_json()
    )
    settings = TrainerSettings(store=tmp_path, redis_url=redis_url)
    stores = trainer.stores
    training.prepare(
        Worker(settings, stores, ProgressBoard(stores.events), trainer.queue), training_id
    )

    record = stores.trainings.get(training_id)
    assert (record.state, record.error.type) == (State.FAILED, "WorkersDied")
    assert f"{MAX_DEATHS} worker processes in a row died" in record.error.detail
    assert trainer.pass_time() == []


def test_the_view_shows_what_celery_has_queued(trainer):
    view = QueueView(trainer.redis)
    assert view.steps() == set()
    steps = [Step("training.compute_shard", ("20260101-000000-aaaaaa", 3)), Step("x", ())]
    trainer.queue.submit(steps)
    assert view.steps() == {"training.compute_shard:20260101-000000-aaaaaa:3", "x"}
    assert view.length() == 2
    for line in ("no json", "[]", '{"headers": 1}', "[" * 100_000, b"\xff"):
        trainer.redis.lpush(QUEUE_KEYS[0], line)
    assert view.steps() == {"training.compute_shard:20260101-000000-aaaaaa:3", "x"}


def _taken(app, count):
    """Return the ids of so many steps, as a worker fetches them."""
    taken = []
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(connection)
        consumer.on_message = lambda message: taken.append(message.headers["id"])
        with consumer:
            while len(taken) < count:
                connection.drain_events(timeout=10)
    return taken


def _shards(training_id, count):
    return [Step(COMPUTE_SHARD, (training_id, number)) for number in range(count)]


def test_short_steps_are_taken_before_shards_and_of_equals_the_oldest(trainer, redis_url, tmp_path):
    app = create_celery(TrainerSettings(store=tmp_path, redis_url=redis_url))
    large, small = (_shards(f"20260101-000000-{name * 6}", 3) for name in "ab")
    trainer.queue.submit(large[:1])
    # As it lies there from a version without priorities.
    trainer.redis.lpush(QUEUE_KEYS[0], trainer.redis.rpop(QUEUE_KEYS[1]))
    trainer.queue.submit(large[1:])
    short = [Step(task, ("20260101-000000-bbbbbb",)) for task in (READ_DATASET, FINISH, PREPARE)]
    trainer.queue.submit(short)
    trainer.queue.submit(small)

    expected = [step.id for step in (large[0], *short, *large[1:], *small)]
    assert _taken(app, len(expected)) == expected


def test_a_small_training_does_not_wait_for_all_shards_of_a_large_one(trainer, redis_url, tmp_path):
    app = create_celery(TrainerSettings(store=tmp_path, redis_url=redis_url))
    large, small = _shards("20260101-000000-aaaaaa", 391), _shards("20260101-000000-bbbbbb", 2)
    trainer.queue.submit(large)
    trainer.queue.submit(small)
    assert QueueView(trainer.redis).length() == len(large + small)

    expected = [step.id for step in (*large[:8], *small, *large[8:])]
    assert _taken(app, len(expected)) == expected


def test_the_lease_of_a_dataset_is_looked_at_whoever_has_submitted_it(trainer, monkeypatch):
    """Looking is what breaks the lease of a holder that is gone."""
    datasets = {trainer.dataset(DatasetState.READING, submitted=given) for given in (True, False)}
    looked_at = set()

    def held(path):
        looked_at.add(path.parent.name)
        return True

    monkeypatch.setattr(trainer.search._watch, "held", held)
    trainer.pass_time()
    assert datasets <= looked_at


def _replaced(content):
    def damage(file):
        file.write_bytes(content)

    return damage


def _a_directory(file):
    file.unlink(missing_ok=True)
    file.mkdir()


def _closed(file):
    file.touch()
    file.chmod(0)


DAMAGES = [_replaced(b"\xff"), _replaced(b"[" * 100_000), _a_directory, _closed]
PLANS = [_replaced(b'{"shards": -1, "precision": "f32"}'), _replaced(b'{"shards": 1e15}')]


def skip_as_root(damage):
    if damage is _closed and os.geteuid() == 0:
        pytest.skip("root reads everything")


@pytest.mark.parametrize("damage", DAMAGES + PLANS)
@pytest.mark.parametrize("state", [State.BOTTLENECK, State.HEAD])
def test_a_plan_that_can_not_be_read_is_made_again(trainer, damage, state):
    skip_as_root(damage)
    damaged, shards = trainer.planned(0)
    trainer.stores.trainings.update(damaged, lambda record: record.enter(state))
    lost = trainer.training(1)
    damage(trainer.stores.trainings.directory(damaged) / "shards" / "plan.json")

    assert trainer.pass_time() == [f"{PREPARE}:{damaged}", f"{PREPARE}:{lost}"]
    shards.plan([], "f32")
    assert shards.complete()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lease_that_can_not_be_read_holds_up_no_other_search(trainer, damage):
    """What can't be opened may be somebody's, and is replaced once it has not moved for long."""
    skip_as_root(damage)
    damaged, lost = trainer.training(0), trainer.training(1)
    damage(trainer.stores.trainings.lease_file(damaged))

    first = trainer.pass_time(searches=3)
    assert f"{PREPARE}:{lost}" in first
    assert sorted(first + trainer.pass_time(searches=5)) == sorted(
        f"{PREPARE}:{training_id}" for training_id in (damaged, lost)
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["trainings", "datasets"])
def test_a_file_of_a_record_that_can_not_be_read_holds_up_no_other_search(trainer, damage, kind):
    skip_as_root(damage)
    lost = trainer.training(1)
    broken = getattr(trainer.stores, kind).directory("20260101-000000-abcdef")
    broken.mkdir(parents=True)
    damage(broken / "record.json")

    assert trainer.pass_time() == [f"{PREPARE}:{lost}"]


def test_what_can_not_be_examined_is_logged_once_and_again_when_it_changes(trainer, monkeypatch):
    lost = trainer.training(1)
    watched = trainer.search._watch.held
    broken = trainer.training(0)
    errors = ["stale"] * 3 + ["away"] * 3

    def held(path):
        if path.parent.name == broken and errors:
            raise OSError(errors.pop())
        return watched(path)

    monkeypatch.setattr(trainer.search._watch, "held", held)
    with capture_logs() as logs:
        assert trainer.pass_time(searches=6) == [f"{PREPARE}:{lost}"]
    assert trainer.pass_time() == [f"{PREPARE}:{broken}"]
    told = [
        line["reason"] for line in logs if line["event"] == "left out of the search for lost steps"
    ]
    assert told == ["OSError: away", "OSError: stale"]


def test_a_record_without_a_time_zone_holds_up_no_other_search(trainer):
    ids = [trainer.training(number) for number in range(2)]
    file = trainer.stores.trainings.directory(ids[0]) / "record.json"
    file.write_text(re.sub(r'("created_at": ".*?)Z"', r'\1"', file.read_text()))

    assert [ids[1] in step for step in trainer.pass_time()] == [True]


def test_what_has_a_broken_plan_or_lease_can_be_cancelled_and_deleted(tmp_path, redis_url):
    trainer = Trainer(tmp_path, redis_url)
    planned, _ = trainer.planned(0)
    _a_directory(trainer.stores.trainings.directory(planned) / "shards" / "plan.json")
    leased = trainer.training(1)
    _a_directory(trainer.stores.trainings.lease_file(leased))
    dataset = trainer.dataset(DatasetState.QUEUED, submitted=True)
    _a_directory(trainer.stores.datasets.lease_file(dataset))
    call = caller(TrainerSettings(store=tmp_path, redis_url=redis_url))

    assert call("POST", f"/v1/trainings/{planned}/cancel").json()["state"] == "cancelled"
    assert call("POST", f"/v1/trainings/{leased}/cancel").json()["state"] == "queued"
    assert call("DELETE", f"/v1/datasets/{dataset}").status_code == 409
    trainer.pass_time(searches=6)
    assert call("POST", f"/v1/trainings/{leased}/cancel").json()["state"] == "cancelled"
    for path in (f"trainings/{planned}", f"trainings/{leased}", f"datasets/{dataset}"):
        assert call("DELETE", f"/v1/{path}").status_code == 204


def test_a_record_that_can_not_be_read_holds_up_no_other_search(trainer):
    broken, lost = trainer.training(0), trainer.training(1)
    (trainer.stores.trainings.directory(broken) / "record.json").write_text('{"state": "new"}')

    assert trainer.pass_time() == [f"{PREPARE}:{lost}"]


def test_the_lost_step_of_a_comparison_is_submitted_unless_its_trainings_run(trainer):
    record = new_comparison_record(at=START)
    trainer.stores.comparisons.create(record)
    step = f"comparison.advance:{record.id}"
    assert trainer.pass_time() == [step]
    trainer.redis.flushall()

    training_id = trainer.training(1)

    def begin(record):
        record.candidates[0].training = training_id
        record.enter(ComparisonState.TRAINING)

    trainer.stores.comparisons.update(record.id, begin)
    assert trainer.pass_time() == [f"training.prepare:{training_id}"]

    trainer.stores.trainings.update(training_id, lambda one: one.enter(State.FAILED))
    assert trainer.pass_time() == [step]
    trainer.redis.flushall()

    with trainer.stores.comparisons.lease(record.id):
        assert trainer.pass_time() == []


def test_what_is_to_be_published_later_is_found_after_the_end(trainer):
    record = new_comparison_record(ComparisonState.SUCCEEDED, at=START)
    trainer.stores.comparisons.create(record)
    assert trainer.pass_time() == []

    trainer.stores.comparisons.update(record.id, lambda one: setattr(one, "to_publish", "x"))

    assert trainer.pass_time() == [f"comparison.advance:{record.id}"]


def test_a_damaged_comparison_is_left_out(trainer):
    broken, sound = new_comparison_record(at=START), new_comparison_record(at=START)
    for record in (broken, sound):
        trainer.stores.comparisons.create(record)
    (trainer.stores.comparisons.directory(broken.id) / "record.json").write_text("{")

    assert trainer.pass_time() == [f"comparison.advance:{sound.id}"]
