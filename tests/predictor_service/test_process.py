"""The predictor as a process among others: start, swaps under load, overload, shutdown."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest

from launcher.services import free_port
from shared.engines.openvino_runtime import load_openvino
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.tiny_model import (
    CONTRAST,
    SIZE,
    picture,
    publish_tiny_model,
    save_network,
)
from tests.support.processes.predictor_process import PredictorProcess, running_predictor, wait_for
from trainer_service.store.publishing import WritableModelStore

REPOSITORY = Path(__file__).parents[2]
PNG = {"Content-Type": "image/png"}
PICTURE = picture("red")


def run_main(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "predictor_service"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
def test_a_port_in_use_ends_in_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_main(HEADSTART_PREDICTOR_PORT=port)

    assert ended.returncode == 1
    assert ended.stderr == (
        f"Can't listen on 127.0.0.1:{port}: Address already in use. "
        "Set HEADSTART_PREDICTOR_PORT to a free port.\n"
    )


@pytest.mark.process
def test_a_wrong_setting_ends_in_one_sentence():
    ended = run_main(HEADSTART_MAX_BATCH="0")

    assert ended.returncode == 1
    assert ended.stderr == ("HEADSTART_MAX_BATCH: Input should be greater than 0. Received: '0'.\n")


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_serving_never_loads_tensorflow(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(engine="auto")
    predictor.wait_until_ready()
    assert predictor.model()["engine"] == "openvino"
    assert predictor.predict(picture("red")).status_code == 200

    mapped = Path(f"/proc/{predictor.process.pid}/maps").read_text()
    assert "openvino" in mapped
    assert "-packages/tensorflow/" not in mapped  # OpenVINO has libraries of that name, too


@pytest.mark.process
def test_importing_the_predictor_imports_no_engine_and_no_training_library():
    script = (
        "import sys, predictor_service.__main__;"
        "print([m for m in ('tensorflow', 'keras', 'openvino', 'celery') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout == "[]\n"


class Clients:
    """Threads that each `_send` until told to stop."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        raise NotImplementedError


class Load(Clients):
    """Clients that send pictures, and remember every answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.versions: Counter[int] = Counter()
        self.failures: list[Any] = []

    def _send(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    response = client.post(
                        "/v1/predict",
                        content=picture("red"),
                        headers={"Content-Type": "image/png"},
                    )
                    (prediction,) = response.json()["predictions"]
                    assert prediction["label"] == "red"
                    self.versions[prediction["version"]] += 1
                except Exception as error:  # noqa: BLE001 - every failure counts
                    self.failures.append(error)


def flip_a_byte_before_publishing(store: Path) -> int:
    """Put a damaged version in place in one step, as a bad disk would have it."""
    elsewhere = store.with_name("elsewhere")
    models = WritableModelStore(store)
    version = models.versions("colours")[-1] + 1
    for earlier in range(1, version):
        (elsewhere / "models/colours" / str(earlier)).mkdir(parents=True, exist_ok=True)
    assert publish_tiny_model(elsewhere) == version
    damaged = elsewhere / "models/colours" / str(version)
    (damaged / "golden/red.png").write_bytes(b"damaged")
    damaged.rename(models.root / "colours" / str(version))
    return version


@pytest.mark.process
def test_versions_come_and_go_under_load_without_a_failed_request(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()

    with Load(predictor.url) as load:
        predictor.wait_for_version(1)
        assert publish_tiny_model(store) == 2
        predictor.wait_for_version(2)
        assert flip_a_byte_before_publishing(store) == 3
        assert "golden/red.png" in predictor.wait_for_quarantine(3)
        assert predictor.model()["version"] == 2
        assert publish_tiny_model(store) == 4
        predictor.wait_for_version(4)
        WritableModelStore(store).pin("colours", 1)
        predictor.wait_for_version(1)
        WritableModelStore(store).pin("colours", None)
        predictor.wait_for_version(4)
        WritableModelStore(store).roll_back("colours")
        predictor.wait_for_version(2)
        WritableModelStore(store).promote("colours", 4)
        predictor.wait_for_version(4)
        time.sleep(0.2)

    assert load.failures == []
    assert set(load.versions) == {1, 2, 4}


@pytest.mark.process
def test_a_version_that_begins_to_fail_is_left_without_a_failed_request_of_others(
    store, start_predictor
):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    white = picture((255, 255, 255))

    def failing(staging: Path) -> None:
        save_network(staging / OPENVINO_MODEL, fails_above=240)

    with Load(predictor.url) as load:
        assert publish_tiny_model(store, change=failing) == 2
        predictor.wait_for_version(2)
        answers = [predictor.predict(white).status_code for _ in range(3)]
        assert "It was left" in predictor.wait_for_quarantine(2)
        predictor.wait_for_version(1)

    assert answers == [500, 500, 500]
    assert load.failures == []
    assert predictor.predict(white).status_code == 200
    assert "Version 2 was left" in predictor.model()["notice"]
    metrics = predictor.http.get("/metrics").text
    assert 'headstart_returns_total{model="colours"} 1.0' in metrics
    assert 'headstart_quarantines_total{reason="watched"} 1.0' in metrics


@pytest.mark.process
def test_the_newest_version_answers_beside_the_pinned_one_unseen(store, start_predictor):
    publish_tiny_model(store)
    publish_tiny_model(store, labels=("green", "red", "blue"))
    WritableModelStore(store).pin("colours", 1, shadow=True)
    predictor = start_predictor()
    wait_for(lambda: predictor.model()["shadow"], "the shadow to be loaded")

    def has_compared() -> bool:
        (prediction,) = predictor.predict(picture("red")).json()["predictions"]
        assert (prediction["version"], prediction["label"]) == (1, "red")
        return bool(predictor.model()["shadow"]["compared"] > 0)

    wait_for(has_compared, "a picture to be compared")
    shadow = predictor.model()["shadow"]
    assert (shadow["version"], shadow["share"]) == (2, 1.0)
    metrics = predictor.http.get("/metrics").text
    assert f'headstart_shadow_different_total{{model="colours"}} {shadow["different"]}.0' in metrics


def save_table(staging: Path) -> None:
    """Write the tiny network so that it looks up its logits, in a table of 1 MB, at each pass."""
    ov = load_openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pixels")
    mean = ops.reduce_mean(ops.convert(pixels, np.float32), np.array([1, 2]), keep_dims=False)
    table = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis] * CONTRAST, 1024, axis=1)
    rows = ops.gather(ops.constant(table), ops.convert(mean, np.int32), np.array(0))
    logits = ops.reduce_mean(rows, np.array([2]), keep_dims=False)
    network = ov.Model([ops.softmax(logits, 1)], [pixels], "large")
    ov.save_model(network, staging / OPENVINO_MODEL, compress_to_fp16=False)


@pytest.mark.process
def test_weights_that_are_written_in_place_change_nothing_that_is_served(store, start_predictor):
    publish_tiny_model(store, change=save_table)
    weights = store / "models/colours/1/openvino/model.bin"
    predictor = start_predictor(precision="f32")
    predictor.wait_until_ready()
    before = predictor.predict(picture("red")).json()

    size = weights.stat().st_size
    os.truncate(weights, 0)  # as `cp` does before it writes
    assert predictor.predict(picture("red")).json() == before
    os.truncate(weights, size)
    assert predictor.predict(picture("red")).json() == before
    assert predictor.process.poll() is None


@pytest.mark.process
def test_a_store_that_may_not_be_written_is_enough(store, start_predictor):
    publish_tiny_model(store)
    before = sorted(str(path) for path in store.rglob("*"))
    directories = [store, *(path for path in store.rglob("*") if path.is_dir())]
    for path in directories:
        path.chmod(0o555)
    try:
        predictor = start_predictor()
        predictor.wait_until_ready()
        assert predictor.predict(picture("red")).status_code == 200
    finally:
        for path in directories:
            path.chmod(0o755)

    assert sorted(str(path) for path in store.rglob("*")) == before


@pytest.mark.process
def test_beyond_the_queue_requests_get_503_at_once(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(max_queue=1, max_batch=1)
    predictor.wait_until_ready()
    data = picture("red", size=4000)
    responses: list[httpx.Response] = []
    until = time.monotonic() + 30

    # How many of a round meet in the queue is up to the machine.
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(8) as clients:

        def send(_: int) -> httpx.Response:
            return client.post(
                f"{predictor.url}/v1/predict",
                content=data,
                headers={"Content-Type": "image/png"},
            )

        while not any(response.status_code == 503 for response in responses):
            assert time.monotonic() < until, "no request found the queue full"
            responses += clients.map(send, range(24))

    assert {response.status_code for response in responses} == {200, 503}
    refused = next(response for response in responses if response.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "HEADSTART_MAX_QUEUE allows 1 images" in refused.json()["detail"]
    assert predictor.predict(picture("red")).status_code == 200


@pytest.mark.process
def test_what_was_accepted_is_answered_before_the_process_ends(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(max_batch=1, shutdown_seconds=30)
    predictor.wait_until_ready()
    data = picture("red", size=2000)
    files = [("file", (f"{i}.png", data)) for i in range(16)]

    with ThreadPoolExecutor(1) as client:
        answer = client.submit(httpx.post, f"{predictor.url}/v1/predict", files=files, timeout=30)
        wait_for(lambda: waiting(predictor) > 0, "the pictures to be accepted")
        assert predictor.terminate() == 0

    assert [p["label"] for p in answer.result().json()["predictions"]] == ["red"] * 16


def waiting(predictor: PredictorProcess) -> float:
    """Return how many pictures wait or are worked on."""
    line = r"^headstart_queue_images\{.*\} (.*)$"
    return sum(map(float, re.findall(line, predictor.http.get("/metrics").text, re.MULTILINE)))


@pytest.mark.process
def test_while_it_ends_open_connections_are_told_and_new_ones_refused(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(shutdown_seconds=30)
    predictor.wait_until_ready()
    host, port = predictor.url.removeprefix("http://").split(":")
    half, rest = PICTURE[:50], PICTURE[50:]
    with (
        closing(HTTPConnection(host, int(port), timeout=30)) as begun,
        closing(HTTPConnection(host, int(port), timeout=30)) as idle,
    ):
        begin(begun, half)
        assert ask(idle, "/healthz").status == 200
        predictor.process.send_signal(signal.SIGTERM)
        wait_for(lambda: is_refused(host, int(port)), "new connections to be refused")
        told = ask(idle, "/readyz")
        begun.send(rest)
        answer = begun.getresponse()
        answered = json.loads(answer.read())

    assert told.status == 503
    assert (told.headers["Connection"], told.headers["Retry-After"]) == ("close", "1")
    assert told.headers["Content-Type"] == "application/problem+json"
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert told.headers["X-Request-ID"]
    assert answer.status == 200
    assert answered["predictions"][0]["label"] == "red"
    assert predictor.process.wait(timeout=30) == 0


def begin(connection: HTTPConnection, half: bytes) -> None:
    """Send the beginning of a request for `PICTURE`."""
    connection.putrequest("POST", "/v1/predict")
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(len(PICTURE)))
    connection.endheaders(half)


def ask(connection: HTTPConnection, path: str) -> HTTPResponse:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer


def is_refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.process
def test_unfinished_requests_are_waited_for_until_the_grace_period_ends(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(shutdown_seconds=1, silence_seconds=3600)
    predictor.wait_until_ready()
    host, port = predictor.url.removeprefix("http://").split(":")
    with closing(HTTPConnection(host, int(port), timeout=30)) as begun:
        begin(begun, PICTURE[:50])
        predictor.http.get("/healthz")  # which comes after what has begun
        started = time.monotonic()
        assert predictor.terminate() == 0
        assert time.monotonic() - started >= 1
        answer = begun.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert json.loads(answer.read())["detail"].startswith("This process is ending.")


SLOW = """
import runpy, sys, time
from predictor_service.models import loading
def load(*_):
    print("loading", flush=True)
    time.sleep(600)
loading.load_version_engine = load
sys.argv = ["predictor_service"]
runpy.run_module("predictor_service", run_name="__main__")
"""


@pytest.mark.process
def test_it_ends_while_a_version_is_loaded(store):
    publish_tiny_model(store)
    environment = os.environ | {
        "HEADSTART_STORE": str(store),
        "HEADSTART_PREDICTOR_PORT": str(free_port()),
    }
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], env=environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == b"loading\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


class Callers(Clients):
    """Clients with a connection for each picture, that go on while nobody answers."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        self.broken: list[Exception] = []
        self._lock = threading.Lock()

    def _send(self) -> None:
        data = picture("red", size=600)
        anew = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=self._url, limits=anew, headers=PNG, timeout=30) as client:
            while not self._stop.is_set():
                self._send_one(client, data)

    def _send_one(self, client: httpx.Client, data: bytes) -> None:
        try:
            answer = client.post("/v1/predict", content=data)
            with self._lock:
                self.statuses[answer.status_code] += 1
        except httpx.ConnectError:
            self.refused += 1
            time.sleep(0.1)
        except httpx.TransportError as error:
            self.broken.append(error)


@pytest.mark.process
def test_restarted_under_load_it_answers_all_that_it_has_accepted(store, tmp_path):
    publish_tiny_model(store)
    port = free_port()
    with ExitStack() as stack, Callers(f"http://127.0.0.1:{port}") as callers:
        for number in range(2):
            predictor = stack.enter_context(
                running_predictor(
                    store,
                    tmp_path / f"{number}.log",
                    predictor_port=port,
                    shutdown_seconds=3600,
                )
            )
            known = callers.statuses[200]
            wait_for(lambda before=known: callers.statuses[200] > before + 50, "answers")
            assert predictor.terminate() == 0

    logged = sum(
        line.count("path=/v1/predict status=200")
        for number in range(2)
        for line in (tmp_path / f"{number}.log").read_text().splitlines()
    )
    assert set(callers.statuses) <= {200, 503}
    assert callers.statuses[200] == logged
    assert callers.refused > 0
    # What was still in the backlog when the socket closed was not accepted by anyone.
    assert len(callers.broken) <= 2 * 4


@pytest.mark.process
def test_probes_do_not_fill_the_log(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    predictor.predict(picture("red"))
    predictor.http.get("/v1/models")

    # The line is written once the answer is sent.
    wait_for(lambda: "method=GET path=/v1/models" in predictor.log, "the line of the request")
    assert "healthz" not in predictor.log
    assert "readyz" not in predictor.log
