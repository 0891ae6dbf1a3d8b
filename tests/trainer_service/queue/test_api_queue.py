"""The queue of the API: it fails soon, and at once while Redis is known to be silent."""

import socket
import time

import pytest

from shared.errors import Unavailable
from shared.identifiers import new_id
from trainer_service.queue import api_queue
from trainer_service.queue.api_queue import SLOW_SECONDS, ApiQueue
from trainer_service.queue.steps import PREPARE, Step
from trainer_service.queue.view import QueueView
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.identity import store_id

SILENT = "did not answer just now"


def submit(queue):
    """Return how many seconds it takes to refuse a step, and in which words."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        queue.submit([Step(PREPARE, (new_id(),))])
    return time.monotonic() - began, refused.value.detail


def test_while_redis_is_silent_only_the_first_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(api_queue, "SPARED_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        queue = ApiQueue(TrainerSettings(store=tmp_path, redis_url=url))

        waited, reason = submit(queue)
        assert SLOW_SECONDS < waited < 10
        assert SILENT not in reason
        waited, reason = submit(queue)
        assert waited < 0.5
        assert SILENT in reason
        time.sleep(1.1)
        waited, reason = submit(queue)
        assert waited > SLOW_SECONDS
        assert SILENT not in reason


@pytest.mark.timeout(60)
def test_the_queue_itself_is_not_waited_for_either(tmp_path, monkeypatch):
    """Without a store there is nothing to be asked before; a worker would wait for longer."""
    monkeypatch.setattr(api_queue, "SILENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        waited, _ = submit(ApiQueue(TrainerSettings(store=tmp_path / "gone", redis_url=url)))

    assert 0.3 <= waited < 3


def test_a_redis_that_refuses_at_once_is_asked_each_time(tmp_path):
    queue = ApiQueue(TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0"))

    assert not any(SILENT in submit(queue)[1] for _ in range(2))


@pytest.mark.integration
def test_steps_are_not_left_to_the_workers_of_another_store(tmp_path, redis_url):
    client = connect(redis_url)
    client.flushall()
    view = QueueView(client)
    queue = ApiQueue(TrainerSettings(store=tmp_path, redis_url=redis_url))
    step = Step(PREPARE, (new_id(),))

    view.own(new_id(), 60)
    assert "HEADSTART_REDIS_URL: the workers of another store" in submit(queue)[1]
    assert view.length() == 0

    client.flushall()
    view.own(store_id(tmp_path), 60)
    queue.submit([step])
    assert view.length() == 1
    client.flushall()
