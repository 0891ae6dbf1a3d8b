"""What a container asks to find out whether its worker lives."""

import pytest

from trainer_service.queue.view import WORKER_KEY, QueueView
from trainer_service.store.events.event_log import connect
from trainer_service.worker import health as worker_health

pytestmark = pytest.mark.integration

HOST = "worker-of-this-test"


@pytest.fixture(autouse=True)
def _named(monkeypatch, redis_url):
    monkeypatch.setenv("HEADSTART_REDIS_URL", redis_url)
    monkeypatch.setattr(worker_health.socket, "gethostname", lambda: HOST)


def test_a_worker_that_has_signed_in_is_healthy(redis_url):
    QueueView(connect(redis_url)).sign_in(f"{HOST}:1", 20)

    assert worker_health.main() == 0

    connect(redis_url).delete(f"{WORKER_KEY}{HOST}:1")
    assert worker_health.main() == 1


def test_a_worker_of_another_host_is_not(redis_url, capsys):
    QueueView(connect(redis_url)).sign_in(f"another-{HOST}:1", 20)

    assert worker_health.main() == 1

    assert capsys.readouterr().err == f"No worker of {HOST} has signed in.\n"


def test_without_redis_it_is_not_and_says_why(monkeypatch, capsys):
    monkeypatch.setenv("HEADSTART_REDIS_URL", "redis://127.0.0.1:1/0")

    assert worker_health.main() == 1

    assert capsys.readouterr().err.startswith("Redis can't be reached")
