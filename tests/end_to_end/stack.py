"""Headstart as a user has it: Redis, trainer, workers and predictor as processes of their own."""

import io
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from launcher.digits import write_digits
from launcher.services import free_port, redis_server, running_services, running_worker
from predictor_service.settings import PredictorSettings
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State

#: Nothing answers there: whatever is not on this machine can't be had.
NOWHERE = "http://127.0.0.1:1"
#: The states of a training in their order; the ends come last.
ORDER = [str(state) for state in State]

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stack:
    trainer: httpx.Client
    predictor: httpx.Client
    settings: TrainerSettings
    logs: Path

    def submit(self, archive: bytes | None = None, **fields: Any) -> Record:
        if archive is None:
            answer = self.trainer.post("/v1/trainings", json=fields)
        else:
            files = {"archive": ("pictures.zip", archive)}
            answer = self.trainer.post("/v1/trainings", data=fields, files=files)
        assert answer.status_code == 202, answer.text
        record: Record = answer.json()
        return record

    def ended(self, record: Record, seconds: float = 240) -> Record:
        url = f"/v1/trainings/{record['id']}"
        last: Record = self.trainer.get(url, params={"wait": seconds}).json()
        return last

    def train(self, archive: bytes | None = None, **fields: Any) -> Record:
        """Post a training, wait for its end, and require that it succeeded."""
        record = self.ended(self.submit(archive, **fields))
        assert record["state"] == "succeeded", record["error"]
        return record

    def read(self, url: str) -> Record:
        """Wait until the dataset at an address has been read, and return it."""
        deadline = time.monotonic() + 60
        while (dataset := self.trainer.get(url).json())["state"] in {"queued", "reading"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        record: Record = dataset
        return record

    def reaches(self, record: Record, state: str, seconds: float = 90) -> str:
        """Wait until a training is in a state or a later one, and return its state then."""
        deadline = time.monotonic() + seconds
        url = f"/v1/trainings/{record['id']}"
        while ORDER.index(now := self.trainer.get(url).json()["state"]) < ORDER.index(state):
            assert time.monotonic() < deadline, f"it is still {now}, and not yet {state}"
            time.sleep(0.03)  # more often, asking would take the worker's time
        return str(now)

    def served(self, model: str, version: int) -> None:
        """Wait until the predictor serves the version."""
        url = f"/v1/models/{model}"

        def is_served() -> bool:
            answer = self.predictor.get(url)
            return answer.is_success and answer.json()["version"] == version

        deadline = time.monotonic() + 30
        while not is_served():
            assert time.monotonic() < deadline, self.predictor.get(url).text
            time.sleep(0.1)

    def predict(self, model: str, pictures: Mapping[str, bytes]) -> list[Record]:
        files = [("file", item) for item in pictures.items()]
        answer = self.predictor.post("/v1/predict", params={"model": model}, files=files)
        assert answer.status_code == 200, answer.text
        predictions: list[Record] = answer.json()["predictions"]
        return predictions


class Workers:
    """Workers that come and go; each is a process group of its own with its own log."""

    def __init__(self, settings: TrainerSettings, logs: Path) -> None:
        self._settings = settings
        self._logs = logs
        self._stack = ExitStack()
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> subprocess.Popen[bytes]:
        log = self._logs / f"worker-{len(self._started)}.log"
        process = self._stack.enter_context(running_worker(self._settings, log))
        self._started.append(process)
        return process

    def one(self) -> subprocess.Popen[bytes]:
        """Return a worker that runs; if there is none, start it."""
        running = [process for process in self._started if process.poll() is None]
        return running[0] if running else self.start()

    def kill(self) -> None:
        for process in self._started:
            if process.poll() is None:
                send_to_group(process, signal.SIGKILL)

    def log(self) -> str:
        """Return what all of them have logged."""
        files = sorted(self._logs.glob("worker-*.log"))
        return "".join(file.read_text(errors="replace") for file in files)


class RestartableRedis:
    """A Redis that keeps its port, and nothing else, over a restart."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        self._stack.enter_context(redis_server(self._directory, self._directory, self._port))

    def stop(self) -> None:
        self._stack.close()


def send_to_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a process and to all its children, as the loss of their host does."""
    os.killpg(process.pid, number)
    if number == signal.SIGKILL:
        process.wait()


@contextmanager
def running_stack(directory: Path, workers: int = 1, **settings: Any) -> Iterator[Stack]:
    common: dict[str, Any] = {"store": directory / "store"}
    trainer = TrainerSettings(
        **{
            "trainer_port": free_port(),
            "weights_url": NOWHERE,
            "weights": directory / "weights",
            **common,
            **settings,
        }
    )
    predictor = PredictorSettings(predictor_port=free_port(), poll_seconds=0.3, **common)
    key = {"X-API-Key": trainer.read_api_keys()[0]} if trainer.read_api_keys() else {}
    with (
        running_services(trainer, predictor, directory, workers=workers) as services,
        httpx.Client(base_url=services.trainer, timeout=300, headers=key) as trainer_client,
        httpx.Client(base_url=services.predictor, timeout=60, headers=key) as predictor_client,
    ):
        yield Stack(trainer_client, predictor_client, trainer, services.logs)


def digits(directory: Path, labels: str, each: int) -> dict[str, bytes]:
    """Return pictures of handwritten digits by file name: `each` of every label."""
    files = sorted(write_digits(directory / "digits").iterdir())
    chosen = []
    for label in labels:
        chosen += [file for file in files if file.name.startswith(f"{label}.")][:each]
    return {file.name: file.read_bytes() for file in chosen}


def zipped(pictures: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    return buffer.getvalue()
