"""The events of trainings over HTTP, with every process real."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from httpx_sse import connect_sse

from launcher.services import free_port
from tests.end_to_end.stack import digits, running_stack, zipped
from trainer_service.store.events.event_log import connect

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
NUMBERS = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


@pytest.fixture(scope="module")
def stack(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory, redis_url=redis_url) as running:
        yield running


class RestartableTrainer:
    """A trainer API of the stack that can be stopped and started again."""

    def __init__(self, stack):
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **os.environ,
            "HEADSTART_STORE": str(stack.settings.store),
            "HEADSTART_WEIGHTS": str(stack.settings.weights),
            "HEADSTART_REDIS_URL": stack.settings.redis_url,
            "HEADSTART_TRAINER_PORT": str(self._port),
            "HEADSTART_SHUTDOWN_SECONDS": "3600",
        }
        self.start()

    def start(self):
        command = [sys.executable, "-m", "trainer_service"]
        self._process = subprocess.Popen(command, env=self._environment)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/healthz").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        pytest.fail("the trainer did not start")

    def stop(self):
        """Stop it and return its exit code."""
        self._process.terminate()
        return self._process.wait(60)


@pytest.fixture(scope="module")
def trainer(stack):
    running = RestartableTrainer(stack)
    yield running
    running.stop()


@contextmanager
def listening(url, last=None):
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with (
        httpx.Client(timeout=60) as client,
        connect_sse(client, "GET", url, headers=headers) as source,
    ):
        yield source.iter_sse()


def until_the_connection_ends(url, last):
    """Return the ids and data of the events after `last` until the connection closes."""
    got = []
    try:
        with listening(url, last) as stream:
            # A heartbeat is a comment, which httpx-sse takes for an event without data.
            got.extend((int(message.id), message.json()) for message in stream if message.data)
    except httpx.TransportError:
        pass
    return got


@pytest.fixture(scope="module")
def followed(stack, trainer, directory):
    """A training followed on one connection, and on another that loses its trainer twice."""
    pictures = digits(directory, "012345", 150) | {"0.broken.png": b"\x89PNG\r\n\x1a\nno"}
    pictures |= digits(directory, "6", 10)
    record = stack.submit(zipped(pictures), model="events", architecture=ARCHITECTURE)
    path = f"/v1/trainings/{record['id']}/events"
    whole, stops = [], []
    stack_url = str(stack.trainer.base_url).rstrip("/")
    listener = threading.Thread(
        target=lambda: whole.extend(until_the_connection_ends(stack_url + path, 0))
    )
    listener.start()
    parts = [[]]

    def listen(last):
        parts[-1].extend(until_the_connection_ends(trainer.url + path, last))

    for seconds in (2.0, 4.0, 120.0):
        last = max((number for part in parts for number, _ in part), default=0)
        parts.append([])
        thread = threading.Thread(target=listen, args=(last,))
        thread.start()
        thread.join(seconds)
        if seconds < 100:
            stops.append(trainer.stop())
            thread.join()
            trainer.start()
    listener.join(120)
    return record["id"], whole, parts[1:], stops


def test_the_stream_tells_the_whole_training(followed, stack):
    training_id, whole, _, _ = followed
    events = [event for _, event in whole]
    record = stack.trainer.get(f"/v1/trainings/{training_id}").json()

    assert [number for number, _ in whole] == list(range(1, len(whole) + 1))
    states = [event["state"] for event in events if event["type"] == "state"]
    assert states == [transition["state"] for transition in record["transitions"]]
    assert states[-1] == "succeeded"
    warned = [event["code"] for event in events if event["type"] == "warning"]
    assert sorted(warned) == ["class_imbalance", "rejected_images"]
    epochs = [event for event in events if event["type"] == "epoch"]
    assert [event["epoch"] for event in epochs] == list(range(1, len(epochs) + 1))
    assert all(set(event) >= NUMBERS for event in epochs)
    result = events[-1]
    assert (result["type"], result["state"], result["version"]) == ("result", "succeeded", 1)
    assert result["metrics"]["test"]["accuracy"] == record["metrics"]["test"]["accuracy"]


def test_the_bottleneck_phase_tells_images_speed_and_time_left(followed):
    _, whole, _, _ = followed
    progress = [event for _, event in whole if event.get("phase") == "bottleneck"]
    done = [event["done"] for event in progress]

    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 910)
    assert {event["total"] for event in progress} == {910}
    assert any(event["per_second"] > 0 and event["eta_seconds"] > 0 for event in progress[2:-1])


def test_resuming_neither_loses_nor_repeats_though_the_trainer_restarted(followed):
    _, whole, parts, _ = followed
    assert [event for part in parts for event in part] == whole
    assert sum(1 for part in parts if part) >= 2


def test_a_trainer_with_open_streams_stops_without_waiting_for_their_ends(followed):
    _, _, _, stops = followed
    assert stops == [0, 0]


def test_events_are_replayed_with_redis_emptied(followed, stack):
    training_id, whole, _, _ = followed
    url = f"{stack.trainer.base_url}/v1/trainings/{training_id}/events"
    connect(stack.settings.redis_url).flushall()
    expected = [event for _, event in whole]

    assert until_the_connection_ends(url, 0) == whole
    headers, pages, after = {"Accept": "application/json"}, [], 0
    while True:
        answer = httpx.get(url, params={"after": after, "limit": 7}, headers=headers).json()
        pages += answer["events"]
        after = answer["after"]
        if answer["ended"]:
            break
    assert pages == expected
    file = stack.settings.store / "trainings" / training_id / "events.jsonl"
    assert [json.loads(line) for line in file.read_text().splitlines()] == expected


def test_many_open_streams_leave_the_api_responsive(stack, trainer):
    """No worker reads this queue entry: its training stays queued behind the stack's."""
    record = stack.submit(zipped({"a.1.png": b"no picture"}), architecture=ARCHITECTURE)
    stack.ended(record)
    waiting = stack.settings.store / "trainings" / record["id"]
    # A training without its result is one that goes on, for those who listen.
    lines = (waiting / "events.jsonl").read_text().splitlines(keepends=True)
    unfinished = json.loads((waiting / "record.json").read_text()) | {"state": "bottleneck"}
    (waiting / "record.json").write_text(json.dumps(unfinished))
    (waiting / "events.jsonl").write_text("".join(lines[:-1]))
    url = f"{trainer.url}/v1/trainings/{record['id']}/events"
    with httpx.Client(timeout=30, limits=httpx.Limits(max_connections=None)) as client:
        alone = seconds_for_twenty_answers(client, trainer)
        streams = [client.stream("GET", url) for _ in range(100)]
        answers = [stream.__enter__() for stream in streams]
        # The best of a few, as others may keep the machine busy for a moment.
        beside = min(seconds_for_twenty_answers(client, trainer) for _ in range(3))
        for stream in streams:
            stream.__exit__(None, None, None)
    assert all(answer.status_code == 200 for answer in answers)
    assert beside < 10 * alone + 2


def seconds_for_twenty_answers(client, trainer):
    begun = time.monotonic()
    for _ in range(20):
        assert client.get(f"{trainer.url}/healthz").is_success
    return time.monotonic() - begun
