"""`make demo`: from a folder of pictures to ten predictions over HTTP."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launcher.digits import write_digits
from launcher.errors import LaunchError
from launcher.follow import Record, follow, wait_until
from launcher.services import Services, running_services
from predictor_service.settings import PredictorSettings
from trainer_service.dataset.records import load_images
from trainer_service.reading import path_finder
from trainer_service.schemas import TrainingRecord
from trainer_service.settings import TrainerSettings
from trainer_service.stores import Stores

SHOWN = 10
SERVED_SECONDS = 60
#: Weights of this one come with the requirements, so it works on a machine without internet.
DEFAULT_ARCHITECTURE = "efficientnet_lite0"


def demo(
    trainer: TrainerSettings,
    predictor: PredictorSettings,
    directory: Path,
    data: Path | None,
    architecture: str | None,
) -> None:
    """Train on `data`, or on the digits, and classify ten pictures of the test split.

    Raises:
        LaunchError: what the user has to change, in a sentence.
    """
    console = Console()
    source = _source(directory, data)
    trainer = trainer.model_copy(update={"datasets": source.parent})
    console.print("Starting Redis, trainer, worker and predictor ...")
    with running_services(trainer, predictor, directory) as services:
        console.print(
            f"trainer {services.trainer}   predictor {services.predictor}   logs {services.logs}"
        )
        record = _train(services, source, architecture or DEFAULT_ARCHITECTURE, console)
        _wait_until_served(services, record)
        _classify(services, trainer, record, console)


def _source(directory: Path, data: Path | None) -> Path:
    if data is None:
        return write_digits(directory.absolute() / "datasets" / "digits")
    source = data.expanduser().absolute()
    if not source.exists():
        raise LaunchError(f"DATA={data}: nothing lies there.")
    return source


def _train(services: Services, source: Path, architecture: str, console: Console) -> Record:
    request = {
        "model": _model_name(source),
        "architecture": architecture,
        "dataset": {"path": source.name},
    }
    console.print(f"Training {request['model']!r} with {architecture} on {source}")
    with httpx.Client(base_url=services.trainer, timeout=60) as client:
        answer = client.post("/v1/trainings", json=request)
        if answer.is_error:
            raise LaunchError(answer.json()["detail"])
        record = follow(client, answer.headers["Location"], console)
    if record["state"] != "succeeded":
        reason = record["error"]["detail"] if record["error"] else ""
        raise LaunchError(f"The training has {record['state']}: {reason}")
    _print_result(record, console)
    return record


def _model_name(source: Path) -> str:
    stem = source.name.split(".")[0] if source.is_file() else source.name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:63] or "demo"


def _print_result(record: Record, console: Console) -> None:
    dataset, cache = record["dataset"], record["cache"]
    console.print(
        f"{dataset['images']} images, {len(dataset['labels'])} labels, "
        f"{len(dataset['rejected'])} rejected; {cache['computed']} through the backbone, "
        f"{cache['reused']} reused ({cache['seconds_saved']:.1f} s saved)"
    )
    for image in dataset["rejected"][:SHOWN]:
        console.print(escape(f"  {image['name']}: {image['verdict']}. {image['detail']}"))


def _wait_until_served(services: Services, record: Record) -> None:
    url = f"{services.predictor}/v1/models/{record['model']}"

    def served() -> bool:
        answer = httpx.get(url)
        return answer.is_success and answer.json()["version"] == record["version"]

    if not wait_until(served, SERVED_SECONDS):
        raise LaunchError(
            f"The predictor did not load version {record['version']} within {SERVED_SECONDS} s; "
            f"see {services.logs / 'predictor.log'}."
        )


def _classify(
    services: Services, trainer: TrainerSettings, record: Record, console: Console
) -> None:
    report = httpx.get(f"{services.trainer}/v1/trainings/{record['id']}/report").json()
    images = random.Random(0).sample(report["test"], min(SHOWN, len(report["test"])))
    path_of = _path_finder(trainer, record)
    files = [("file", (Path(image["image"]).name, path_of(image))) for image in images]
    answer = httpx.post(
        f"{services.predictor}/v1/predict", params={"model": record["model"]}, files=files
    )
    table = Table("picture", "truth", "prediction", "probability")
    for image, prediction in zip(
        images, answer.raise_for_status().json()["predictions"], strict=True
    ):
        table.add_row(*_row(image, prediction))
    console.print(table)
    test = record["metrics"]["test"]
    console.print(
        f"Test accuracy {test['accuracy']:.4f} on {test['images']} images, "
        f"served as {record['model']} version {record['version']}."
    )


def _row(image: dict[str, Any], prediction: dict[str, Any]) -> list[str]:
    label = prediction["label"]
    style = "green" if label == image["label"] else "red"
    return [
        escape(image["image"]),
        escape(image["label"]),
        f"[{style}]{escape(label)}[/{style}]",
        f"{prediction['probability']:.3f}",
    ]


def _path_finder(trainer: TrainerSettings, record: Record) -> Callable[[dict[str, Any]], bytes]:
    """Return how to read a test picture: its bytes, by its row of the report."""
    stores = Stores.open(trainer)
    dataset = stores.datasets.get(TrainingRecord.model_validate(record).dataset.id)
    path_of = path_finder(stores.datasets, trainer, dataset)
    directory = stores.datasets.directory(dataset.id)
    images = {image.sha256: image for image in load_images(directory)}
    return lambda image: path_of(images[image["sha256"]]).read_bytes()
