"""What has all images of a dataset in memory is done one at a time, however many ask for it."""

import asyncio
import io
import threading
import time
import zipfile

import httpx
import pytest

from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import new_record
from trainer_service.app import create_app
from trainer_service.datasets import reading
from trainer_service.datasets.children.lineage import Lineage
from trainer_service.service import comparison
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

TIMES = 4


class Inside:
    """Counts how many threads are in a function at most."""

    def __init__(self, function):
        self.most = self._now = 0
        self._function, self._lock = function, threading.Lock()

    def __call__(self, *arguments):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(0.05)
            return self._function(*arguments)
        finally:
            with self._lock:
                self._now -= 1


def packed(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, picture((number, 0, 0)))
    return {"archive": ("pets.zip", buffer.getvalue())}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer_service.queue.api_queue.ApiQueue.read_dataset", lambda *_: None)
    return TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def call(settings):
    return caller(settings)


@pytest.fixture
def pets(settings, call):
    names = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(2)]
    made = call("POST", "/v1/datasets", files=packed(names)).json()["id"]
    reading.read(Stores.open(settings).datasets, settings, made)
    return made


def all_at_once(settings, requests):
    """Return the statuses of requests that are sent at once, some times each."""
    transport = httpx.ASGITransport(create_app(settings))

    async def send():
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            asked = [client.request(*one, **options) for one, options in requests * TIMES]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

    return asyncio.run(send())


def test_datasets_are_corrected_and_added_to_one_at_a_time(settings, call, pets, monkeypatch):
    [image] = call("GET", f"/v1/datasets/{pets}/images?limit=1").json()["images"]
    inside = Inside(Lineage.of)
    monkeypatch.setattr(Lineage, "of", inside)

    correct = ("POST", f"/v1/datasets/{pets}/corrections"), {"json": {image["sha256"]: "fox"}}
    add = ("POST", f"/v1/datasets/{pets}/images"), {"files": packed(["fox/1.png"])}

    assert all_at_once(settings, [correct, add]) == {201, 202}
    assert inside.most == 1


def test_trainings_are_compared_one_at_a_time(settings, monkeypatch):
    line = "20261123-153522-1f25fc"
    records = [new_record(State.SUCCEEDED, dataset=line) for _ in range(2)]
    for record in records:
        record.version = 1
        Stores.open(settings).trainings.create(record)
    row = comparison._Row(image="1.png", sha256="1", label="cat", predicted="cat", probability=1)
    inside = Inside(lambda *_: {"1": row})
    monkeypatch.setattr(comparison, "_rows", inside)
    one, other = (record.id for record in records)

    compare = ("GET", f"/v1/trainings/{one}/compare?with={other}"), {}

    assert all_at_once(settings, [compare]) == {200}
    assert inside.most == 1
