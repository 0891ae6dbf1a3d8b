"""Runs `make demo`: from a folder of images to ten predictions over HTTP."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from client.prediction import predict
from client.printing import accuracy_in_words, add_row, print_result
from client.service import Record, predictor_at, trainer_at
from client.terminal import plain
from client.training.training import follow, model_name, served, submit_dataset
from launcher.digits import write_digits
from launcher.errors import LaunchError
from launcher.services import Services, running_services
from launcher.supervisor import supervised
from predictor_service.settings import PredictorSettings
from trainer_service.datasets.dataset import Dataset
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.stores import Stores

SHOWN = 10
#: Its weights come with the requirements, so it works on a machine without internet.
DEFAULT_ARCHITECTURE = "efficientnet_lite0"
#: The demo waits for its training, so a worker that ends again and again is given up even if each
#: of its lives lasts for two minutes.
ENDS_WINDOW_SECONDS = 600.0


def demo(
    trainer: TrainerSettings,
    predictor: PredictorSettings,
    directory: Path,
    data: Path | None,
    architecture: str | None,
) -> None:
    """Start the services, train a model, and classify ten images of the test split.

    Args:
        trainer: settings of the trainer API and the worker.
        predictor: settings of the predictor.
        directory: the directory for logs, Redis' files and the digits.
        data: a folder or archive of labelled images; None uses the handwritten digits.
        architecture: the backbone to train on; None uses `DEFAULT_ARCHITECTURE`.

    Raises:
        LaunchError: `data` does not exist, or a service could not be started or kept running.
        ClientError: a service refused a request, or the training failed.
    """
    console = Console()
    source = _source(directory, data)
    trainer = trainer.model_copy(update={"datasets": source.parent})
    console.print("Starting Redis, trainer, worker and predictor ...")
    with running_services(trainer, predictor, directory) as services:
        console.print(
            plain(
                f"trainer {services.trainer}   predictor {services.predictor}   "
                f"logs {services.logs}"
            )
        )
        with supervised(services.processes, ENDS_WINDOW_SECONDS):
            record = _train(services, source, architecture or DEFAULT_ARCHITECTURE, console)
            _wait_until_served(services, record)
            _classify(services, trainer, record, console)


def _source(directory: Path, data: Path | None) -> Path:
    if data is None:
        return write_digits(directory.absolute() / "datasets" / "digits")
    source = data.expanduser().absolute()
    if not source.exists():
        raise LaunchError(f"DATA: expected a folder or an archive. {source} does not exist.")
    return source


def _train(services: Services, source: Path, architecture: str, console: Console) -> Record:
    fields = {"model": model_name(source), "architecture": architecture}
    console.print(plain(f"Training {fields['model']!r} with {architecture} on {source}"))
    with trainer_at(services.trainer, services.api_key) as trainer:
        submitted = submit_dataset(trainer, source.name, fields)
        record = follow(trainer, submitted["id"], console)
    print_result(record, console)
    return record


def _wait_until_served(services: Services, record: Record) -> None:
    promotion = record["promotion"]
    if not promotion["served"]:
        raise LaunchError(
            f"Version {record['version']} of {record['model']} is published, but not served: "
            f"{promotion['reason']}"
        )
    with predictor_at(services.predictor, services.api_key) as predictor:
        if not served(predictor, record):
            raise LaunchError(
                f"The predictor did not load version {record['version']} of {record['model']}; "
                f"see {services.logs / 'predictor.log'}."
            )


def _classify(
    services: Services, trainer: TrainerSettings, record: Record, console: Console
) -> None:
    with trainer_at(services.trainer, services.api_key) as service:
        report = service.get(f"/v1/trainings/{record['id']}/report")
    images = random.Random(0).sample(report["test"], min(SHOWN, len(report["test"])))
    path_of = _path_finder(trainer, record)
    with predictor_at(services.predictor, services.api_key) as predictor:
        asked = {"model": record["model"], "top": 1}
        predictions = predict(predictor, list(map(path_of, images)), asked)
    table = Table("image", "truth", "prediction", "probability")
    for image, prediction in zip(images, predictions, strict=True):
        add_row(table, *_row(image, prediction))
    console.print(table)
    console.print(
        f"{accuracy_in_words(record['metrics']['test'])}, "
        f"served as {record['model']} version {record['version']}.",
        soft_wrap=True,
    )


def _row(image: dict[str, Any], prediction: dict[str, Any]) -> list[object]:
    label = prediction["label"]
    style = "green" if label == image["label"] else "red"
    probability = f"{prediction['probability']:.3f}"
    return [image["image"], image["label"], plain(label, style), probability]


def _path_finder(trainer: TrainerSettings, record: Record) -> Callable[[dict[str, Any]], Path]:
    """Return a function that finds the file of a test image, given its row of the report."""
    dataset_id = TrainingRecord.model_validate(record).dataset.known_id
    dataset = Dataset.open(Stores.open(trainer).datasets, trainer, dataset_id)
    images = {image.sha256: image for image in dataset.used_images()}
    return lambda image: dataset.path_of(images[image["sha256"]])
