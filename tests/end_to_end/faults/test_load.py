"""Many trainings at once, slow and hanging clients, and hundreds that follow a training."""

import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import chain
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from launcher.services import free_port
from tests.end_to_end.stack import Workers, digits, running_stack, zipped
from tests.support.processes.predictor_process import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
#: By hand 40.
JOBS = int(os.environ.get("HEADSTART_TEST_JOBS", "6"))
MODELS = 3
STREAMS = 500
WORKERS = 2


@pytest.fixture(scope="module")
def stack(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory, workers=0, redis_url=redis_url) as running:
        yield running


@pytest.fixture(scope="module")
def archive(directory):
    return zipped(digits(directory, "01", 12))


@pytest.fixture(scope="module")
def workers(directory, stack):
    """Two workers, each with a log and with metrics of its own: by the URL of these."""
    with ExitStack() as running:
        started = {}
        for number in range(WORKERS):
            logs = directory / f"worker{number}"
            logs.mkdir()
            port = free_port()
            settings = stack.settings.model_copy(update={"worker_metrics_port": port})
            worker = running.enter_context(Workers(settings, logs))
            worker.start()
            started[f"http://127.0.0.1:{port}/metrics"] = worker
        yield started


class Streams:
    """Clients that follow one training until its result, all in one thread."""

    def __init__(self, url: str, count: int) -> None:
        parts = urlsplit(url)
        request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self.sockets = []
        for _ in range(count):
            client = socket.create_connection((parts.hostname, parts.port), timeout=60)
            client.sendall(request)
            self.sockets.append(client)

    def results(self) -> int:
        """Read all of them to their ends and return how many brought the result, once."""
        found = 0
        for client in self.sockets:
            received = b""
            with client, suppress(TimeoutError):
                while b"event: result" not in received and (data := client.recv(65_536)):
                    received += data
            found += received.count(b"event: result") == 1
        return found


class SlowUploads:
    """One client that sends its archive by the byte, and one that stops in the middle."""

    def __init__(self, url: str, archive: bytes) -> None:
        parts = urlsplit(url)
        files = {"archive": ("a.zip", archive)}
        request = httpx.Request("POST", f"{url}/v1/datasets", files=files)
        body = request.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        self._bytes = f"POST /v1/datasets HTTP/1.1\r\n{head}\r\n".encode() + body
        self._address = parts.hostname, parts.port
        self._ended = threading.Event()
        self._hanging = socket.create_connection(self._address)
        self._hanging.sendall(self._bytes[: len(self._bytes) // 2])
        self._thread = threading.Thread(target=self._trickle)
        self._thread.start()
        self.status = b""

    def _trickle(self) -> None:
        with socket.create_connection(self._address, timeout=60) as slow:
            for number, byte in enumerate(self._bytes):
                slow.sendall(bytes([byte]))
                if number < 2000 and not self._ended.is_set():
                    time.sleep(0.01)
            self.status = slow.recv(65_536).split(b"\r\n")[0]

    def finish(self) -> None:
        self._ended.set()
        self._thread.join()
        self._hanging.close()


@pytest.fixture(scope="module")
def posted(stack, archive):
    """All jobs, posted one right after the other before there is any worker."""
    return [
        stack.submit(
            archive, model=f"model{number % MODELS}", architecture=ARCHITECTURE, seed=number
        )
        for number in range(JOBS)
    ]


@pytest.fixture(scope="module")
def ended(stack, archive, posted, workers):
    """The jobs' last records, after they ran beside clients of every bad kind."""
    trainer = str(stack.trainer.base_url).rstrip("/")
    uploads = SlowUploads(trainer, archive)
    streams = Streams(f"{trainer}/v1/trainings/{posted[-1]['id']}/events", STREAMS)
    answers = []
    with ThreadPoolExecutor(1) as reader:
        results = reader.submit(streams.results)
        while not results.done():
            answers.append(stack.trainer.get(f"/v1/trainings/{posted[0]['id']}").status_code)
            time.sleep(0.1)
        followed = results.result()
    records = [stack.ended(record) for record in posted]
    uploads.finish()
    return records, followed, answers, uploads.status


def test_every_job_ends_once(ended, stack, posted, workers):
    records = ended[0]
    assert [record["state"] for record in records] == ["succeeded"] * JOBS, records
    published = {}
    for number in range(MODELS):
        model = stack.trainer.get(f"/v1/models/model{number}").json()
        published |= {
            version["training_id"]: (model["name"], version["version"])
            for version in model["versions"]
        }
        assert len(model["versions"]) == JOBS // MODELS
    assert published == {record["id"]: (record["model"], record["version"]) for record in records}
    log = "".join(worker.log() for worker in workers.values())
    for record in posted:
        assert len(re.findall(rf"entered training_id={record['id']} .*state=publishing", log)) == 1


def test_jobs_are_taken_in_the_order_they_were_posted(ended, posted, workers):
    """By each worker: one that is held up after it has fetched a job may begin with it late."""
    places = {record["id"]: place for place, record in enumerate(posted)}
    entered = re.compile(r"entered training_id=(\S+) .*state=preparing")
    taken = [[places[one] for one in entered.findall(worker.log())] for worker in workers.values()]

    assert sorted(chain.from_iterable(taken)) == list(range(JOBS))
    assert all(began == sorted(began) for began in taken), taken


def test_five_hundred_followers_get_the_result_and_stop_nobody(ended):
    _, followed, answers, _ = ended

    assert followed == STREAMS
    assert len(answers) > 1
    assert set(answers) == {200}


def test_slow_uploads_are_received_and_hanging_ones_hold_up_nobody(ended):
    assert ended[3] == b"HTTP/1.1 202 Accepted"


def total_of(urls):
    """Return the sums of what is measured, by name and labels."""
    total = {}
    for url in urls:
        for family in text_string_to_metric_families(httpx.get(url).text):
            for sample in family.samples:
                key = sample.name, *sample.labels.values()
                total[key] = total.get(key, 0) + sample.value
    return total


def test_metrics_of_workers_and_trainer_add_up(ended, stack, workers):
    wait_for(lambda: len(stack.trainer.get("/readyz").json()["workers"]) == WORKERS, "the workers")
    # A client knows the end of a training before the step that brought it has ended.
    tasks = "headstart_task_duration_seconds_count", "training.finish"
    wait_for(lambda: total_of(workers).get(tasks, 0) >= JOBS, "the last step to end")
    total = total_of([*workers, f"{stack.trainer.base_url}/metrics"])

    assert total["headstart_trainings_ended_total", "succeeded"] == JOBS
    assert total["headstart_phase_duration_seconds_count", "head"] == JOBS
    assert total[tasks] == JOBS
    assert total["headstart_features_total", "computed"] >= 24
    assert total["headstart_trainings", "succeeded"] == JOBS
    assert total["headstart_trainings", "queued"] == 0
    assert total["headstart_workers",] == WORKERS
    assert total["headstart_queue_tasks",] == 0
    assert total["headstart_event_streams",] == 0
