"""A worker whose Redis refuses its writes, or has messages on the queue that are not steps."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from launcher import services
from launcher.processes import Guard, Process
from launcher.services import free_port, redis_server, running_worker
from shared.identifiers import new_id
from tests.end_to_end.stack import RestartableRedis
from tests.support.processes.predictor_process import wait_for
from tests.support.trainer.api_client import caller
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.queue.transport import MOST_BYTES, MOST_KEPT
from trainer_service.queue.view import QUEUE, STORE_KEY, UNREADABLE, WORKER_KEY
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

pytestmark = pytest.mark.integration

#: A worker whose pauses between its tries do not grow.
IMPATIENT = """
from celery.signals import worker_init
from trainer_service.worker.__main__ import main

@worker_init.connect
def shorten(**_):
    from trainer_service.worker import consumer
    consumer.LONGEST_SECONDS = consumer.FIRST_SECONDS

main()
"""


class Running:
    """A worker with a Redis of its own, and what can be seen of both."""

    def __init__(self, settings, process, log):
        self.settings = settings
        self.process = process
        self.redis = connect(settings.redis_url)
        self._log = log

    def log(self):
        return self._log.read_text(errors="replace")

    def lives(self):
        return list(self.redis.scan_iter(f"{WORKER_KEY}*"))

    def counted(self, name):
        url = f"http://127.0.0.1:{self.settings.worker_metrics_port}/metrics"
        lines = [line.split() for line in httpx.get(url).text.splitlines()]
        return sum(float(line[1]) for line in lines if line[0] == name)

    def works(self):
        """Require that a step gets done."""
        before = self.log().count("task ended")
        TaskQueue(create_celery(self.settings)).read_dataset(new_id())
        wait_for(lambda: self.log().count("task ended") > before, "the step")
        assert self.process.poll() is None


@contextmanager
def working(directory, redis_url):
    """Run a worker on a store in a directory, and yield it once it has done a step."""
    settings = TrainerSettings(
        store=directory / "store",
        redis_url=redis_url,
        lease_seconds=4,
        worker_metrics_port=free_port(),
    )
    settings.store.mkdir()
    log = directory / "worker.log"
    environment = {**os.environ, **services._environment(settings)}
    command = [sys.executable, "-c", IMPATIENT]
    with Guard() as guard, Process(command, environment, log, guard).running() as process:
        worker = Running(settings, process.handle, log)
        wait_for(worker.lives, "the worker")
        worker.works()
        yield worker


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    directory = tmp_path_factory.mktemp("refusals")
    with redis_server(directory, directory) as url, working(directory, url) as worker:
        yield worker
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0


def test_a_container_finds_its_worker_healthy(running):
    command = [sys.executable, "-m", "trainer_service.worker.health"]
    environment = {"HEADSTART_REDIS_URL": running.settings.redis_url}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


def _replica(redis):
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: redis.execute_command("REPLICAOF", "NO", "ONE")


def _full(redis):
    redis.config_set("maxmemory", "1")
    return lambda: redis.config_set("maxmemory", "0")


def _unable_to_save(redis):
    """What it saves to is a directory."""
    (directory := _data(redis) / "dump.rdb").mkdir()
    redis.config_set("save", "3600 1")
    redis.bgsave()
    wait_for(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "the error")

    def mend():
        redis.config_set("save", "")
        directory.rmdir()

    return mend


def _data(redis):
    return Path(redis.config_get("dir")["dir"])


def _foreign(redis):
    """Something else than a list has the queue's name."""
    redis.set(QUEUE, "x")
    return lambda: redis.delete(QUEUE)


def _of_another_store(redis):
    """The workers of another store use it, and this one had no time to keep it."""
    redis.set(STORE_KEY, new_id())
    return lambda: redis.delete(STORE_KEY)


REFUSALS = {
    _replica: "Redis refuses: ",
    _full: "Redis refuses: ",
    _unable_to_save: "Redis refuses: ",
    _foreign: "Redis refuses: ",
    _of_another_store: "HEADSTART_REDIS_URL: the workers of another store use this Redis. ",
}


@pytest.mark.parametrize(("refuse", "reason"), REFUSALS.items())
def test_a_worker_outlives_a_redis_that_refuses(running, refuse, reason):
    errors, told = running.counted("headstart_queue_errors_total"), running.log().count("can't be")
    mend = refuse(running.redis)
    if refuse is _full:  # as long as it has nothing to fetch it does not notice
        running.redis.client_kill_filter(_type="normal", skipme=True)
    call = caller(running.settings)
    try:
        wait_for(lambda: running.counted("headstart_queue_errors_total") > errors, "a try")
        answer = call("GET", "/readyz")
        posted = call("POST", "/v1/datasets", files={"archive": ("a.zip", b"PK")})
        log = running.log()
    finally:
        mend()

    assert running.process.poll() is None
    assert posted.status_code == 503
    assert reason in posted.json()["detail"]
    assert call("GET", "/v1/datasets").json() == []
    said = f"Redis: the key '{QUEUE}' should" if refuse is _foreign else reason
    assert answer.status_code == 503
    assert answer.json()["problems"][0].startswith(said)
    assert 1 <= log.count("can't be") - told <= 4  # each reason once, not each try
    running.works()
    assert call("GET", "/readyz").status_code == 200


def test_a_worker_of_another_store_takes_no_steps(running, tmp_path):
    """It could only drop them; they would be submitted and dropped again and again."""
    own, log = {"store": tmp_path / "store", "worker_metrics_port": free_port()}, tmp_path / "log"
    own["store"].mkdir()
    with running_worker(running.settings.model_copy(update=own), log) as other:
        reason = "HEADSTART_REDIS_URL: the workers of another store use this Redis."
        wait_for(lambda: reason in log.read_text(), "the reason")
        for _ in range(4):
            running.works()
        assert len(running.lives()) == 1
        assert "task ended" not in log.read_text()
        assert other.poll() is None
        assert "Traceback" not in log.read_text()


@contextmanager
def frozen(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_step_that_ends_while_redis_is_away_is_not_the_worker_s_last(tmp_path):
    """Redis can't be told that the step has ended, and would not hand out another one."""
    redis = RestartableRedis(tmp_path)
    redis.start()
    with working(tmp_path, redis.url) as worker:
        ended = worker.log().count("task ended")
        with frozen(children_of(worker.process.pid)):
            TaskQueue(create_celery(worker.settings)).read_dataset(new_id())
            wait_for(lambda: worker.redis.hlen("unacked"), "the step to be fetched")
            redis.stop()
        wait_for(lambda: worker.log().count("task ended") > ended, "the end of the step")
        wait_for(lambda: "Couldn't ack" in worker.log(), "what Redis was not told")
        redis.start()
        worker.works()
    redis.stop()


def children_of(pid):
    """Return the processes that a worker has started, of which one does the steps."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in file.read_text().split()]


def message(**changes):
    """Return a line of the queue that is sound, but for the changes."""
    body = base64.b64encode(json.dumps([[new_id()], {}, None]).encode()).decode()
    line = {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": "x", "task": "dataset.read"},
        "properties": {
            "delivery_tag": "x",
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "body_encoding": "base64",
        },
    }
    return json.dumps(line | changes).encode()


def body(value, **changes):
    return message(body=base64.b64encode(json.dumps(value).encode()).decode(), **changes)


def headers(**changes):
    return message(headers={"id": "x", "task": "dataset.read"} | changes)


def step(task, *arguments):
    return body([arguments, {}, None], headers={"id": "x", "task": task})


POISON = [
    b"",
    b"not json",
    b'{"a":1}',
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"__type__": "datetime", "__value__": "never"}',
    message(body="!"),
    message(body=None),
    message(headers=None),
    message(headers={"id": "x", "task": "os.system"}),
    message(headers={"id": "x", "task": "dataset.read", "eta": "soon"}),
    message(headers={"id": "x", "task": "dataset.read", "timelimit": 1}),
    message(properties={}),
    message(**{"content-type": "application/x-python-serialize"}),
    body([]),
    body([[], {}, None]),
    body([[{}], {}, None]),
    body({"args": 1}),
    body([["no id"], {}, None]),
    body([[new_id()], {"a": 1}, None]),
    body([[new_id()], {}, {"chain": [1]}]),
    step("dataset.read", new_id(), 0),
    step("training.prepare", new_id(), 0),
    step("training.compute_shard", new_id()),
    step("training.compute_shard", new_id(), -1),
    headers(compression="none such"),
    headers(request_id={"a": 1}),
    headers(request_id="x" * 1000),
]
#: Steps all the same, of what was removed meanwhile or with more than they need.
HARMLESS = [
    *(step(task, new_id()) for task in ("dataset.read", "training.prepare", "training.finish")),
    step("training.compute_shard", new_id(), 0),
    headers(dataset_id="x", event="x", level="x"),
]


def test_a_message_that_is_no_step_is_set_aside_and_the_next_step_done(running):
    counted = running.counted("headstart_queue_unreadable_total")
    errors = running.counted("headstart_queue_errors_total")
    running.redis.delete(UNREADABLE)
    for line in POISON:
        running.redis.lpush(QUEUE, line)
    metrics = caller(running.settings)("GET", "/metrics").text
    running.works()

    assert "headstart_queue_set_aside" in metrics
    kept = connect(running.settings.redis_url)
    kept.connection_pool.connection_kwargs["decode_responses"] = False
    assert kept.lrange(UNREADABLE, 0, -1) == [line[:MOST_BYTES] for line in reversed(POISON)]
    assert running.counted("headstart_queue_unreadable_total") == counted + len(POISON)
    assert running.counted("headstart_queue_errors_total") == errors
    assert running.log().count("not a step: set aside") == len(POISON)


def test_what_was_removed_meanwhile_is_told_in_a_line(running):
    ended = running.log().count("task ended") + len(HARMLESS)
    for line in HARMLESS:
        running.redis.lpush(QUEUE, line)

    wait_for(lambda: running.log().count("task ended") >= ended, "the steps")
    assert running.log().count(" refused ") >= len(HARMLESS)
    assert "Traceback" not in running.log()


def test_of_what_is_set_aside_only_the_latest_is_kept(running):
    with running.redis.pipeline() as pipeline:
        for number in range(2 * MOST_KEPT):
            pipeline.lpush(QUEUE, f"poison {number}")
        pipeline.execute()
    running.works()

    assert running.redis.llen(UNREADABLE) == MOST_KEPT
    assert running.redis.lindex(UNREADABLE, 0) == f"poison {2 * MOST_KEPT - 1}"


def test_a_worker_of_an_earlier_release_takes_no_step_from_this_one(running):
    """It fetches whatever lies on its queue, and loses what it does not understand."""
    running.redis.set("headstart:worker:earlier", 1, px=60_000)
    taken, over = [], threading.Event()

    def fetch():
        with connect(running.settings.redis_url) as redis:
            while not over.is_set():
                taken.extend(filter(None, [redis.brpop("trainings", timeout=1)]))

    earlier = threading.Thread(target=fetch)
    earlier.start()
    try:
        time.sleep(2)  # of those that wait for a line Redis serves the one that came first
        running.works()
        ready = caller(running.settings)("GET", "/readyz").json()
    finally:
        over.set()
        earlier.join()

    assert taken == []
    assert "earlier" not in ready["workers"]


def test_a_worker_that_breaks_ends_with_a_failing_status(running, tmp_path):
    code = (
        "from trainer_service.worker.lost_steps_step import LostStepsSearch\n"
        "from trainer_service.worker.__main__ import main\n"
        "def start(*_): raise ValueError('broken')\n"
        "LostStepsSearch.start = start\n"
        "main()\n"
    )
    environment = {
        "HEADSTART_STORE": str(tmp_path),
        "HEADSTART_REDIS_URL": running.settings.redis_url,
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert b"broken" in done.stderr
