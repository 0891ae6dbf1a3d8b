import pytest
from kombu.transport.redis import Channel

from tests.support.processes.predictor_process import wait_for
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.queue.view import (
    QUEUE,
    QUEUE_KEYS,
    QUEUE_TYPES,
    SEPARATOR,
    STORE_KEY,
    WORKER_KEY,
    ForeignQueue,
    QueueView,
)
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect


def test_the_lists_are_named_as_celery_names_them():
    assert Channel.sep == SEPARATOR


@pytest.mark.integration
def test_what_celery_writes_has_the_names_and_types_that_are_expected(redis_url):
    redis = connect(redis_url)
    redis.flushall()
    queue = TaskQueue(create_celery(TrainerSettings(redis_url=redis_url)))
    for _ in range(2):
        queue.prepare("20260101-000000-aaaaaa")
    with queue._app.connection_for_read() as connection:
        fetched = connection.SimpleQueue(queue._app.conf.task_default_queue).get()
        written = {key: redis.type(key) for key in redis.scan_iter()}
        fetched.ack()

    assert written.items() <= QUEUE_TYPES.items()
    assert {f"_kombu.binding.{QUEUE}", "unacked", "unacked_index"} < written.keys()
    assert written.keys() & set(QUEUE_KEYS)
    assert QueueView(redis).foreign_keys() == {}
    redis.flushall()


@pytest.mark.integration
def test_the_queue_is_that_of_the_store_whose_workers_came_first(redis_url):
    client = connect(redis_url)
    client.flushall()
    view = QueueView(client)

    view.require_own("a")
    view.own("a", 60)
    view.own("a", 90)
    assert 60 < client.ttl(STORE_KEY) <= 90
    view.require_own("a")
    for ask in (view.require_own, lambda store: view.own(store, 60)):
        with pytest.raises(ForeignQueue, match="HEADSTART_REDIS_URL: the workers of another store"):
            ask("b")

    view.own("a", 0.001)
    wait_for(lambda: not client.exists(STORE_KEY), "the end of its workers")
    view.own("b", 60)
    client.flushall()


@pytest.mark.integration
def test_workers_are_alive_for_as_long_as_they_say(redis_url):
    client = connect(redis_url)
    client.flushall()
    view = QueueView(client)
    names = [f"worker-{number:02}" for number in range(20)]
    for name in reversed(names):
        view.sign_in(name, 60)
    view.sign_in("worker-x", 0.001)
    wait_for(lambda: not client.exists(f"{WORKER_KEY}worker-x"), "the end of one")

    assert view.workers() == names
    assert 50 < client.ttl(f"{WORKER_KEY}worker-03") <= 60
    client.flushall()


@pytest.mark.integration
def test_one_process_at_a_time_may_submit_lost_steps(redis_url):
    client = connect(redis_url)
    client.flushall()
    one, other = QueueView(client), QueueView(connect(redis_url))

    assert one.claim(60)
    assert not other.claim(60)
    assert not one.claim(60)
    client.flushall()
    assert other.claim(0.001)
    wait_for(lambda: one.claim(60), "its end")
    client.flushall()
