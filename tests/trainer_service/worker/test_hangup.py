"""A worker whose terminal is closed, or which is sent SIGHUP."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from shared.identifiers import new_id
from tests.support.processes.predictor_process import wait_for
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.settings import TrainerSettings

pytestmark = pytest.mark.integration


@contextmanager
def worker(tmp_path, redis_url, *before):
    """Start a worker by a command, and yield it and its log once it is connected."""
    log = tmp_path / "worker.log"
    environment = {
        "HEADSTART_STORE": str(tmp_path),
        "HEADSTART_REDIS_URL": redis_url,
        "PATH": "/usr/bin:/bin",
    }
    # The tests may themselves run under nohup, and every process inherits that it ignores SIGHUP.
    heeds_hangup = ["env", "--default-signal=HUP"]
    command = [*heeds_hangup, *before, sys.executable, "-m", "trainer_service.worker"]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process,
    ):
        try:
            wait_for(lambda: "ready." in log.read_text(), "the worker", 60)
            yield process, log
        finally:
            process.kill()


def test_a_hangup_ends_it_as_sigterm_does(tmp_path, redis_url):
    with worker(tmp_path, redis_url) as (process, log):
        process.send_signal(signal.SIGHUP)

        assert process.wait(60) == 0, log.read_text()
        assert "Warm shutdown" in log.read_text()


def test_started_by_nohup_it_goes_on(tmp_path, redis_url):
    with worker(tmp_path, redis_url, "nohup") as (process, log):
        process.send_signal(signal.SIGHUP)
        TaskQueue(create_celery(TrainerSettings(redis_url=redis_url))).read_dataset(new_id())

        wait_for(lambda: "task ended" in log.read_text(), "the step")
        process.terminate()
        assert process.wait(60) == 0
