"""Gathers what a report tells, and writes it beside the model."""

from functools import partial
from pathlib import Path

from shared.manifest import Manifest
from shared.model_store import REPORT_PAGE
from trainer_service.datasets import reading
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.context import Worker
from trainer_service.phases.head.fitting import Fitted
from trainer_service.report.facts import Facts, answers, choose_mistakes, choose_samples
from trainer_service.report.page import render
from trainer_service.report.thumbnails import Embedded, embedded
from trainer_service.schemas import TrainingRecord
from trainer_service.settings import TrainerSettings


def write_report(
    worker: Worker, record: TrainingRecord, fitted: Fitted, staging: Path, manifest: Manifest
) -> None:
    """Write the report of a staged version; `manifest` is that of the version to be."""
    dataset = worker.stores.datasets.get(record.dataset.id)
    path_of = reading.path_finder(worker.stores.datasets, worker.settings, dataset)

    def picture_of(image: ImageRecord) -> Embedded | None:
        return embedded(path_of(image), worker.image_limits)

    gather = partial(answers, fitted, picture_of=picture_of)
    facts = Facts(
        manifest=manifest,
        metrics=fitted.metrics,
        record=record,
        dataset=dataset,
        history=fitted.head.history,
        mistakes=gather(choose_mistakes(fitted)),
        samples=gather(choose_samples(fitted, record.request.seed)),
        predictor=predictor_address(worker.settings),
    )
    file = staging / REPORT_PAGE
    file.parent.mkdir(exist_ok=True)
    file.write_text(render(facts), "utf-8")


def predictor_address(settings: TrainerSettings) -> str:
    """Return the predictor's base URL as far as the trainer knows it."""
    default = f"http://localhost:{settings.predictor_port or 8001}"
    return (settings.predictor_url or default).rstrip("/")
