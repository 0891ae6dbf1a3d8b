"""Nothing finished is lost: workers are killed and frozen, Redis is emptied and restarted."""

import json
import os
import random
import re
import shutil
import signal
import time

import pytest

from tests.end_to_end.stack import (
    ORDER,
    RestartableRedis,
    digits,
    running_stack,
    send_to_group,
    zipped,
)
from trainer_service.store.events.event_log import connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
LEASE_SECONDS = 6
#: What is promised after a worker or Redis is back.
RECOVERY_SECONDS = 60
END_SECONDS = 120
SHARDS = 8
#: By hand: more of them, each with other moments.
ROUNDS = int(os.environ.get("HEADSTART_TEST_ROUNDS", "1"))


@pytest.fixture(scope="module")
def redis(directory):
    server = RestartableRedis(directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stack(directory, redis, share_backbones):
    share_backbones(directory / "store")
    with running_stack(
        directory, workers=0, redis_url=redis.url, lease_seconds=LEASE_SECONDS
    ) as running:
        yield running


@pytest.fixture(scope="module")
def archive(directory):
    return zipped(digits(directory, "012", 80))


@pytest.fixture(scope="module")
def undisturbed(stack, workers, archive):
    """The same training without any fault."""
    workers.one()
    return stack.train(archive, model="undisturbed", architecture=ARCHITECTURE)


@pytest.fixture
def submit(stack, archive, undisturbed):
    """Submit the same training again, to be computed from the pictures on."""

    def submit(model):
        shutil.rmtree(stack.settings.store / "features", ignore_errors=True)
        return stack.submit(archive, model=model, architecture=ARCHITECTURE)

    return submit


@pytest.fixture
def succeeded(stack, undisturbed):
    """Wait for a training's end, and require the result of the undisturbed one."""

    def succeeded(record):
        ended = stack.ended(record, seconds=END_SECONDS)
        assert ended["state"] == "succeeded", ended
        assert ended["metrics"] == undisturbed["metrics"]
        assert ended["dataset"]["split"] == undisturbed["dataset"]["split"]
        versions = stack.trainer.get(f"/v1/models/{record['model']}").json()["versions"]
        assert [version["training_id"] for version in versions] == [record["id"]]
        return ended

    return succeeded


def state_of(stack, record):
    return stack.trainer.get(f"/v1/trainings/{record['id']}").json()["state"]


def wait_until_it_works(stack, worker, record, phase):
    """Wait until the training has got as far as the phase and this worker works on it."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while ORDER.index(state_of(stack, record)) < ORDER.index(phase) or not any(
        os.getpgid(holder) == worker.pid for holder in holders(stack, record)
    ):
        assert time.monotonic() < deadline, f"nobody works on {phase}"
        time.sleep(0.03)  # more often, asking would take the worker's time


def holders(stack, record):
    """Return the processes that hold a lease of the training, or died holding one."""
    found = []
    directory = stack.settings.store / "trainings" / record["id"]
    dataset = stack.settings.store / "datasets" / record["dataset"]["id"]
    for file in (dataset / ".lease", directory / ".lease", *directory.glob("shards/*.lease")):
        try:
            pid = json.loads(file.read_bytes())["pid"]
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            continue
        found.append(pid)
    return found


def shards_computed(workers, record):
    return [
        int(re.search(r"shard=(\d+)", line)[1])
        for line in workers.log().splitlines()
        if "computing shard" in line and f"training_id={record['id']}" in line
    ]


def test_redis_emptied_while_trainings_wait_and_while_they_run(
    stack, workers, submit, succeeded, archive, redis
):
    workers.kill()
    first = submit("first")
    second = stack.submit(archive, model="second", architecture=ARCHITECTURE)
    dataset = stack.trainer.post("/v1/datasets", files={"archive": ("a.zip", archive)})
    connect(redis.url).flushall()
    worker = workers.start()
    wait_until_it_works(stack, worker, first, "bottleneck")
    connect(redis.url).flushall()

    prepared = [succeeded(record)["transitions"][1]["at"] for record in (first, second)]
    assert prepared == sorted(prepared)
    assert sorted(shards_computed(workers, first)) == list(range(SHARDS))
    assert stack.trainer.get(dataset.headers["location"]).json()["state"] == "ready"
    log = workers.log()
    for record in (first, second):
        assert log.count(f"step=dataset.read:{record['dataset']['id']}") == 1


def test_redis_away_while_a_head_is_trained(stack, workers, submit, succeeded, archive, redis):
    stack.served("undisturbed", 1)
    worker = workers.one()
    running, waiting = submit("running"), submit("waiting")
    wait_until_it_works(stack, worker, running, "head")
    redis.stop()
    try:
        while state_of(stack, running) != "succeeded":
            answers_without_redis(stack, running, archive)
            time.sleep(0.1)
        assert state_of(stack, waiting) == "bottleneck"
    finally:
        redis.start()

    succeeded(running)
    succeeded(waiting)
    assert sorted(shards_computed(workers, waiting)) == list(range(SHARDS))
    stack.submit(archive, model="afterwards", architecture=ARCHITECTURE)


def answers_without_redis(stack, record, archive):
    for path in (f"/v1/trainings/{record['id']}", "/v1/trainings", "/v1/models", "/healthz"):
        assert stack.trainer.get(path).status_code == 200
    assert stack.predictor.get("/v1/models/undisturbed").status_code == 200

    known = stack.trainer.get("/v1/trainings").json()
    files = {"archive": ("pictures.zip", archive)}
    refused = stack.trainer.post("/v1/trainings", data={"architecture": ARCHITECTURE}, files=files)
    assert refused.status_code == stack.trainer.get("/readyz").status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert "Redis" in refused.json()["detail"]
    assert len(stack.trainer.get("/v1/trainings").json()) == len(known)


def test_another_worker_takes_over_from_a_host_that_is_silent(stack, workers, submit, succeeded):
    """A frozen worker keeps its locks and connections, like a host behind a broken network."""
    silent = workers.one()
    record = submit("silent")
    wait_until_it_works(stack, silent, record, "bottleneck")
    time.sleep(0.5)
    send_to_group(silent, signal.SIGSTOP)
    try:
        workers.start()
        ended = succeeded(record)
    finally:
        send_to_group(silent, signal.SIGCONT)

    time.sleep(3)
    assert succeeded(record) == ended
    assert len(shards_computed(workers, record)) <= SHARDS + 1


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_killed_worker_costs_a_shard_at_most(stack, workers, submit, succeeded, number):
    moments = random.Random(number)
    record = submit(f"killed{number}")
    workers.kill()
    killed_in = []
    for phase in ("preparing", "bottleneck", "bottleneck", "head", "publishing"):
        worker = workers.start()
        wait_until_it_works(stack, worker, record, phase)
        time.sleep(moments.uniform(0, 0.5))
        send_to_group(worker, signal.SIGKILL)
        killed_in.append(state_of(stack, record))
    workers.start()

    ended = succeeded(record)
    assert ended["cache"]["computed"] == 240, killed_in
    computed = shards_computed(workers, record)
    assert set(computed) == set(range(SHARDS))
    assert len(computed) - SHARDS <= killed_in.count("bottleneck"), killed_in
