"""The trainer's API is killed and restarted, in the middle of uploads and of a training."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import httpx
import pytest

from launcher.services import free_port
from tests.end_to_end.stack import Workers, digits, zipped
from tests.support.processes.predictor_process import wait_for
from trainer_service.settings import TrainerSettings

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
BOUNDARY = "b0undary"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Idempotency-Key": "k"}


class Api:
    """The trainer's API on one port, started as often as need be."""

    def __init__(self, settings, log):
        self.settings = settings
        self.url = f"http://127.0.0.1:{settings.trainer_port}"
        self.http = httpx.Client(base_url=self.url, timeout=120)
        self.process = None
        self._log = log

    def start(self):
        values = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        environment = {f"HEADSTART_{name.upper()}": str(value) for name, value in values.items()}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainer_service"],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, "the trainer to answer")

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def _answers(self):
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


class Upload(threading.Thread):
    """A training posted with its archive, the second half of which is sent on request."""

    def __init__(self, url, archive):
        super().__init__(daemon=True)
        self.go_on = threading.Event()
        self.answer = None
        self.error = None
        self._url = url
        self._archive = archive

    def run(self):
        try:
            self.answer = httpx.post(
                f"{self._url}/v1/trainings", content=self._body(), headers=HEADERS, timeout=60
            )
        except httpx.TransportError as error:
            self.error = error

    def _body(self):
        part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
        fields = f'{part}architecture"\r\n\r\n{ARCHITECTURE}\r\n'
        archive = f'{fields}{part}archive"; filename="a.zip"\r\n\r\n'.encode() + self._archive
        # A megabyte and more, so that the first of it reaches the store.
        yield archive[: len(archive) // 2]
        self.go_on.wait(60)
        yield archive[len(archive) // 2 :] + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def api(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    settings = TrainerSettings(
        store=directory / "store",
        weights=directory / "weights",
        weights_url="http://127.0.0.1:1",
        redis_url=redis_url,
        trainer_port=free_port(),
        lease_seconds=6,
    )
    running = Api(settings, directory / "trainer.log")
    running.start()
    yield running
    running.http.close()
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def archive(directory):
    """Pictures that are small, and something large that is none."""
    return zipped(digits(directory, "012", 40) | {"notes.bin": os.urandom(6 << 20)})


def uploads(api):
    root = api.settings.store / "uploads"
    found = glob("*/*", root_dir=root)  # noqa: PTH207 - that one fails if a directory vanishes
    return [root / name for name in found]


def half_sent(api, archive):
    upload = Upload(api.url, archive)
    upload.start()
    wait_for(lambda: uploads(api), "the first half to arrive")
    return upload


def test_asked_to_end_it_answers_the_upload_that_it_has_begun(api, archive):
    upload = half_sent(api, archive)
    api.process.send_signal(signal.SIGTERM)
    wait_for(lambda: _refused(api), "new connections to be refused")
    upload.go_on.set()
    upload.join(30)

    assert upload.answer is not None, upload.error
    assert upload.answer.status_code == 202
    assert api.process.wait(timeout=30) == 0
    assert uploads(api) == []
    api.start()
    trainings = api.http.get("/v1/trainings").json()
    assert [record["id"] for record in trainings] == [upload.answer.json()["id"]]
    api.http.post(f"/v1/trainings/{trainings[0]['id']}/cancel")


def test_asked_to_end_it_cuts_what_takes_longer_than_the_grace_period(api, archive):
    files = {"archive": ("a.zip", archive)}
    form = {"architecture": ARCHITECTURE}
    url = f"/v1/trainings/{api.http.post('/v1/trainings', data=form, files=files).json()['id']}"

    def follow(at, **parameters):
        return httpx.get(f"{api.url}{at}", params=parameters, timeout=60)

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(follow, url, wait=300)
        following = pool.submit(follow, f"{url}/events")
        wait_for(
            lambda: "headstart_event_streams 1.0" in api.http.get("/metrics").text, "the stream"
        )
        assert api.end(signal.SIGTERM) == 0

        assert waiting.result().json()["state"] == "queued"
        assert '"queued"' in following.result().text
    api.start()
    api.http.post(f"{url}/cancel")


def test_an_upload_during_which_the_api_is_killed_creates_nothing_until_it_is_sent_again(
    api, archive, directory
):
    (api.settings.store / "idempotency").rename(directory / "keys of before")
    known = len(api.http.get("/v1/trainings").json())
    upload = half_sent(api, archive)
    api.end(signal.SIGKILL)
    upload.go_on.set()
    upload.join(30)
    assert upload.error is not None
    api.start()
    assert len(api.http.get("/v1/trainings").json()) == known
    [left] = uploads(api)

    again = Upload(api.url, archive)
    again.go_on.set()
    again.run()
    repeated = Upload(api.url, archive)
    repeated.go_on.set()
    repeated.run()
    assert again.answer.status_code == 202
    assert repeated.answer.json() == again.answer.json()
    assert len(api.http.get("/v1/trainings").json()) == known + 1

    os.utime(left.parent, (0, 0))  # a minute has to pass, or look as if it had
    with Workers(api.settings, directory) as workers:
        workers.start()
        wait_for(lambda: uploads(api) == [], "what was left to be removed")
        url = f"/v1/trainings/{again.answer.json()['id']}"
        wait_for(lambda: api.http.get(url).json()["state"] == "succeeded", "its end", 120)


def test_a_training_goes_on_while_the_api_is_killed_and_restarted(api, archive, directory):
    files = {"archive": ("a.zip", archive)}
    form = {"architecture": ARCHITECTURE, "epochs": 100, "early_stopping": "off"}
    record = api.http.post("/v1/trainings", data=form, files=files).json()
    url = f"/v1/trainings/{record['id']}"
    with Workers(api.settings, directory) as workers:
        workers.start()
        wait_for(lambda: api.http.get(url).json()["state"] != "queued", "its start", 60)
        before = _events(api, url, 0)
        api.end(signal.SIGKILL)
        time.sleep(0.5)
        api.start()
        wait_for(lambda: _events(api, url, before[-1]["id"]), "more events", 60)
        assert api.end(signal.SIGTERM) == 0
        api.start()
        ended = api.http.get(url, params={"wait": 120}).json()

    assert ended["state"] == "succeeded"
    events = before + _events(api, url, before[-1]["id"])
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("result") == 1


def _events(api, url, after):
    headers = {"Accept": "application/json"}
    parameters = {"after": after, "limit": 10_000}
    return api.http.get(f"{url}/events", params=parameters, headers=headers).json()["events"]


def _refused(api):
    try:
        httpx.get(f"{api.url}/healthz", timeout=5)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        return False
    time.sleep(0.05)
    return False
