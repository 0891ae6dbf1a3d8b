"""The trainer API as a process among others: clients that leave, and a Redis that keeps silent."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse

import httpx
import psutil
import pytest
import redis

from launcher.services import redis_server
from shared.errors import Unavailable
from shared.http.server.connections import INTERIM_ANSWER
from tests.support.processes.predictor_process import wait_for
from tests.support.processes.small_service import read_all, running_service
from trainer_service.queue.api_queue import ApiQueue
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.settings import TrainerSettings

pytestmark = pytest.mark.integration

TRAINING = {"architecture": "efficientnet_lite0", "dataset": {"path": "pets"}}
CLIENTS = 200


def running_trainer(directory, redis_url):
    (directory / "datasets" / "pets" / "cat").mkdir(parents=True)
    return running_service(
        directory / "log",
        module="trainer_service",
        store=directory / "store",
        datasets=directory / "datasets",
        weights=directory / "weights",
        weights_url="http://127.0.0.1:1",
        redis_url=redis_url,
        trainer_port=0,
    )


#: Of an upload that is announced as this large, only the beginning is ever sent.
ANNOUNCED_BYTES = 100_000_000


def begun_upload(service, path, *fields, key=None):
    """Post the fields of a form and the first 2 MB of its archive; return the answer to these."""
    parts = [f'name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    parts.append('name="archive"; filename="pets.zip"\r\n\r\n')
    form = "".join(f"--limit\r\nContent-Disposition: form-data; {part}" for part in parts)
    key_line = f"Idempotency-Key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {ANNOUNCED_BYTES}\r\n"
        f"{key_line}Content-Type: multipart/form-data; boundary=limit\r\n\r\n"
    )
    with socket.create_connection(service.address, timeout=5) as client:
        client.sendall((head + form).encode() + bytes(2_000_000))
        answer = HTTPResponse(client)
        answer.begin()
        return answer.status, json.loads(answer.read())["detail"]


@pytest.mark.parametrize("key", [None, "a-new-one"])
@pytest.mark.parametrize(
    ("field", "detail"),
    [
        (("epochs", "0"), "epochs: Input should be greater than or equal to 1. Received: '0'"),
        (("split.test", "7"), "split.test: Input should be less than 1. Received: '7'"),
        (("colour", "blue"), "colour: there is no such field"),
        (("dataset", "pets"), "dataset: expected either a dataset or an archive. Received: both"),
        (("architecture", "alexnet"), "Received: 'alexnet'"),
        (("architecture", "vgg16"), "The pre-trained weights of vgg16 are not available"),
    ],
)
def test_wrong_fields_are_answered_before_the_images_have_come(trainer, field, detail, key):
    status, said = begun_upload(trainer, "/v1/trainings", ("model", "pets"), field, key=key)

    assert status == 422
    assert detail in said


def test_fields_beside_a_dataset_are_answered_before_its_images_have_come(trainer):
    status, said = begun_upload(trainer, "/v1/datasets", ("model", "pets"))

    assert status == 422
    assert "model: there is no such field" in said


def address(service):
    return "http://{}:{}".format(*service.address)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory, redis_url):
    with running_trainer(tmp_path_factory.mktemp("trainer"), redis_url) as running:
        yield running


def test_head_is_answered_wherever_get_is(trainer):
    with httpx.Client(base_url=address(trainer), timeout=10) as http:
        posted = http.post("/v1/trainings", json=TRAINING)
        location = posted.headers["location"]
        dataset = f"/v1/datasets/{posted.json()['dataset']['id']}"
        for path in [*routes_of_get(trainer), location, dataset, "/nowhere"]:
            got, head = http.get(path), http.head(path)
            assert head.status_code == got.status_code, path
            assert head.headers["content-type"] == got.headers["content-type"], path
            if path not in UNSTEADY:
                assert head.headers["content-length"] == str(len(got.content)), path
        events = http.head(f"{location}/events")
        assert http.head("/v1/trainings/x/cancel").headers["allow"] == "POST"

    assert events.status_code == 200
    assert events.headers["content-type"].startswith("text/event-stream")
    # A client has the answer before the line is written.
    line = f"answered method=HEAD path={location}/events"
    wait_for(lambda: line in trainer.log, "the line of the log", seconds=10)
    assert "Traceback" not in trainer.log


#: Their bodies grow, or have times in them.
UNSTEADY = {"/metrics", "/readyz"}


def routes_of_get(trainer):
    document = httpx.get(f"{address(trainer)}/openapi.json").json()
    listed = [path for path, methods in document["paths"].items() if "get" in methods]
    return ["/", "/docs", "/openapi.json", "/metrics", *(p for p in listed if "{" not in p)]


@pytest.mark.parametrize("query", ["?wait=300", "/events"])
def test_clients_that_have_left_cost_nothing(trainer, query):
    posted = httpx.post(f"{address(trainer)}/v1/trainings", json=TRAINING)
    path = posted.headers["location"].encode()
    before = len(answered(trainer))
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            connection = stack.enter_context(trainer.connect())
            connection.sendall(b"GET %b%b HTTP/1.1\r\nHost: x\r\n\r\n" % (path, query.encode()))
        wait_for(lambda: trainer.connections() >= CLIENTS, "the clients")

    wait_for(lambda: len(answered(trainer)) - before >= CLIENTS, "what they asked for to end")
    seconds = cpu_seconds(trainer)
    time.sleep(1)
    assert cpu_seconds(trainer) - seconds < 0.2
    assert "Traceback" not in trainer.log


def answered(trainer):
    return [line for line in trainer.log.splitlines() if "answered method=GET" in line]


def cpu_seconds(trainer):
    times = psutil.Process(trainer.process.pid).cpu_times()
    return times.user + times.system


def test_a_waiting_client_is_answered_when_the_service_ends(trainer):
    with httpx.Client(base_url=address(trainer), timeout=60) as http, ThreadPoolExecutor(5) as pool:
        location = http.post("/v1/trainings", json=TRAINING).headers["location"]
        url = f"{address(trainer)}{location}"
        waiting = [pool.submit(httpx.get, f"{url}?wait=300", timeout=60) for _ in range(5)]
        wait_for(lambda: trainer.connections() > len(waiting), "those who wait")
        http.post(f"{location}/cancel")

        assert {answer.result().json()["state"] for answer in waiting} == {"cancelled"}


def test_a_waiting_client_that_shut_its_sending_side_is_answered_when_the_service_ends(trainer):
    location = httpx.post(f"{address(trainer)}/v1/trainings", json=TRAINING).headers["location"]
    with trainer.connect() as client:
        client.sendall(b"GET %b?wait=300 HTTP/1.1\r\nHost: x\r\n\r\n" % location.encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(len(INTERIM_ANSWER)) == INTERIM_ANSWER
        httpx.post(f"{address(trainer)}{location}/cancel")
        assert b"cancelled" in read_all(client)


def test_while_redis_keeps_silent_everything_else_is_answered(tmp_path):
    """What is posted waits for Redis for some seconds, and takes no thread from the rest."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        service = stack.enter_context(running_trainer(tmp_path, url))
        body = json.dumps(TRAINING).encode()
        head = b"POST /v1/trainings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        posts = [stack.enter_context(service.connect()) for _ in range(60)]
        for post in posts:
            post.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            post.setblocking(False)
        wait_for(lambda: list((tmp_path / "store/trainings").glob("*")), "trainings")
        with httpx.Client(base_url=address(service), timeout=60) as http:
            answers = [http.get(path) for path in ("/healthz", "/v1/trainings", "/readyz")]

        assert [answer.status_code for answer in answers] == [200, 200, 503]
        assert "Redis" in answers[-1].json()["problems"][0]
        with pytest.raises(BlockingIOError):  # which came after all the others
            posts[-1].recv(1)


def test_a_redis_that_falls_silent_is_waited_for_no_longer_than_ten_seconds(tmp_path):
    """Connections are open by then: each command that is sent on them is waited for."""
    with redis_server(tmp_path, tmp_path) as url, running_trainer(tmp_path, url) as trainer:
        pid = int(redis.Redis.from_url(url).info("server")["process_id"])
        with httpx.Client(base_url=address(trainer), timeout=60) as http:
            assert http.post("/v1/trainings", json=TRAINING).status_code == 202
            os.kill(pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                answer = http.post("/v1/trainings", json=TRAINING)
                seconds = time.monotonic() - began
            finally:
                os.kill(pid, signal.SIGCONT)

    assert answer.status_code == 503, answer.text
    # Ten, and as many again for whatever else a busy machine has to do.
    assert seconds < 30


def test_a_redis_that_was_just_waited_for_in_vain_is_not_waited_for_again(monkeypatch):
    now = [0.0]
    asked = []

    def submit(_, steps):
        asked.append(steps)
        now[0] += 10
        raise Unavailable("Redis is silent.")

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(TaskQueue, "submit", submit)
    queue = ApiQueue(TrainerSettings())
    for _ in range(3):
        with pytest.raises(Unavailable):
            queue.submit(["step"])
    assert len(asked) == 1

    now[0] += 10
    with pytest.raises(Unavailable):
        queue.submit(["step"])
    assert len(asked) == 2
