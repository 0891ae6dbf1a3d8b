"""Measures how long it takes from corrected labels to answers of the model that has learnt them.

    python -m benchmarks.mend --weights weights photos/trash

The folder holds a folder of images for each label. It is trained on once; then the labels of ten
images are corrected, again and again, and each time a training is done, published and served, by a
worker that is warm. The same dataset is also trained on by a worker without any stored features.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks.tools.rows import Row, as_table
from launcher.services import free_port, running_services
from predictor_service.settings import PredictorSettings
from trainer_service.settings import TrainerSettings

CORRECTED = 10
ROUNDS = 5
MODEL = "mended"
ASK_SECONDS = 0.02

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Services:
    """A trainer with one worker, and a predictor."""

    trainer: httpx.Client
    predictor: httpx.Client

    def train(self, **fields: Any) -> Record:
        """Train, and wait until the predictor serves the version.

        Raises:
            RuntimeError: the training failed.
        """
        posted = self._json(
            self.trainer.post("/v1/trainings", json={"model": MODEL, "promote": "always"} | fields)
        )
        address = f"/v1/trainings/{posted['id']}"
        record: Record = posted
        while record["state"] not in {"succeeded", "failed", "cancelled"}:
            record = self._json(self.trainer.get(address, params={"wait": 300}))
        if record["state"] != "succeeded":
            raise RuntimeError(str(record["error"]))
        while self._served() != record["version"]:
            time.sleep(ASK_SECONDS)
        return record

    def correct(self, dataset: str, changes: dict[str, str | None]) -> str:
        """Correct labels, and return the id of the new dataset."""
        answer = self.trainer.post(f"/v1/datasets/{dataset}/corrections", json=changes)
        return str(self._json(answer)["id"])

    def some_images(self, dataset: str) -> list[Record]:
        """Return used images from all over a dataset."""
        path = f"/v1/datasets/{dataset}/images"
        page: Record = {"after": 0}
        images: list[Record] = []
        while page["after"] is not None:
            asked = {"limit": 1000, "after": page["after"], "verdict": "used"}
            page = self._json(self.trainer.get(path, params=asked))
            images += page["images"]
        return images[:: len(images) // (CORRECTED * ROUNDS)]

    def _served(self) -> int | None:
        answer = self.predictor.get(f"/v1/models/{MODEL}")
        return answer.json()["version"] if answer.is_success else None

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        answer.raise_for_status()
        return answer.json()


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--architecture", default="mobilenet_v2")
    arguments = parser.parse_args()
    print(as_table(measure(arguments.folder, arguments.weights, arguments.architecture)))


def measure(folder: Path, weights: Path, architecture: str) -> list[Row]:
    """Return the seconds of trainings on corrected labels, and of one without stored features."""
    fields = {"architecture": architecture}
    with TemporaryDirectory() as directory:
        with _services(Path(directory) / "warm", folder, weights) as services:
            first = services.train(dataset={"path": folder.name}, **fields)
            again, mended = _rounds(services, first["dataset"]["id"], fields)
        with _services(Path(directory) / "cold", folder, weights) as services:
            started = time.perf_counter()
            cold = services.train(dataset={"path": folder.name}, **fields)
            seconds = time.perf_counter() - started
    return [
        _row("all features computed, as a worker begins", seconds, cold),
        _row("the same dataset again, warm", *again),
        *(
            _row(f"{CORRECTED} labels corrected, warm, round {number}", *one)
            for number, one in enumerate(mended, start=1)
        ),
        Row("mend", "median", "from corrections to answers", median(s for s, _ in mended), "s"),
    ]


Timed = tuple[float, Record]


def _rounds(services: Services, dataset: str, fields: Record) -> tuple[Timed, list[Timed]]:
    """Return a training on the dataset as it is, and others on more and more corrections of it."""
    started = time.perf_counter()
    record = services.train(dataset=dataset, **fields)
    again = time.perf_counter() - started, record
    images = services.some_images(dataset)
    labels = sorted({image["label"] for image in images})
    mended: list[Timed] = []
    for turn in range(ROUNDS):
        chosen = images[turn::ROUNDS][:CORRECTED]
        started = time.perf_counter()
        dataset = services.correct(
            dataset, {one["sha256"]: _other(labels, one["label"]) for one in chosen}
        )
        record = services.train(dataset=dataset, **fields)
        mended.append((time.perf_counter() - started, record))
    return again, mended


def _other(labels: list[str], label: str) -> str:
    return labels[(labels.index(label) + 1) % len(labels)]


def _row(case: str, seconds: float, record: Record) -> Row:
    phases = ", ".join(
        f"{step['state']} {step['seconds']:.2f}"
        for step in record["transitions"]
        if step["seconds"]
    )
    test = record["metrics"]["test"]["accuracy"]
    head = record["head"]
    chosen = f"{head['taps']}, strength {head['strength']:g}, test accuracy {test:.4f}"
    return Row("mend", case, chosen, seconds, "s", note=phases)


@contextmanager
def _services(directory: Path, folder: Path, weights: Path) -> Iterator[Services]:
    directory.mkdir()
    store = directory / "store"
    trainer = TrainerSettings(
        store=store,
        trainer_port=free_port(),
        weights=weights.absolute(),
        datasets=folder.absolute().parent,
        worker_metrics_port=None,
    )
    predictor = PredictorSettings(store=store, predictor_port=free_port())
    with (
        running_services(trainer, predictor, directory) as services,
        httpx.Client(base_url=services.trainer, timeout=310) as trainer_client,
        httpx.Client(base_url=services.predictor, timeout=60) as predictor_client,
    ):
        yield Services(trainer_client, predictor_client)


if __name__ == "__main__":
    main()
