"""Gathers the facts of a version's report, and writes the report beside the model."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shared.errors import InvalidImage
from shared.images.decoding import ImageLimits
from shared.models.manifest import Manifest
from shared.models.model_store import REPORT_PAGE
from trainer_service.datasets.children.corrections import iterate_corrections
from trainer_service.datasets.image_files import ImageFiles
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.evaluate.evaluation import Evaluated
from trainer_service.phases.work import Work
from trainer_service.report.facts import Answer, Facts, ShownSuspect
from trainer_service.report.page import render
from trainer_service.report.thumbnails import Embedded, embedded
from trainer_service.settings import TrainerSettings
from trainer_service.store.promoting import Verdict

MISTAKES = 12
SAMPLES = 10
SUSPECTS = 12


def write_report(  # noqa: PLR0913 - most have names
    work: Work,
    evaluated: Evaluated,
    staging: Path,
    manifest: Manifest,
    *,
    heats: Mapping[int, Embedded],
    verdict: Verdict | None = None,
) -> None:
    """Write the report of a version in the making.

    Args:
        work: the training, whose images are shown as far as they can still be read.
        evaluated: the network and its evaluation.
        staging: the directory of the version.
        manifest: that of the version, with the number that it will have.
        heats: copies of mistakes with the heat of the answer, by the positions of the images.
        verdict: whether it is to be served, and why; None if that is not decided yet.
    """
    dataset = work.dataset()
    picture_of = partial(_picture, work.worker.image_limits, dataset.files())
    gather = partial(answers, evaluated, picture_of=picture_of)
    facts = Facts(
        manifest=manifest,
        metrics=evaluated.metrics,
        record=work.record,
        dataset=dataset.record,
        history=evaluated.trained.history,
        best_epoch=evaluated.trained.best_epoch,
        mistakes=gather(choose_mistakes(evaluated), heats=heats),
        samples=gather(choose_samples(evaluated, work.record.request.seed)),
        predictor=predictor_address(work.worker.settings),
        suspects=shown_suspects(evaluated, picture_of),
        tune_history=evaluated.trained.tune_history,
        corrections=list(iterate_corrections(dataset)),
        verdict=verdict,
    )
    file = staging / REPORT_PAGE
    file.parent.mkdir(exist_ok=True)
    file.write_text(render(facts), "utf-8")


def _picture(limits: ImageLimits, files: ImageFiles, image: ImageRecord) -> Embedded | None:
    """Return a small copy of an image; None if the image is gone or has changed."""
    try:
        data = files.read(image.file, image.sha256)
    except (OSError, InvalidImage):
        return None
    return embedded(data, limits)


def choose_mistakes(evaluated: Evaluated) -> list[int]:
    """Return the positions of the test images that were classified wrong, most confident first."""
    predicted = evaluated.test_probabilities.argmax(axis=1)
    confidence = evaluated.test_probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != evaluated.test_truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return [int(index) for index in order[:MISTAKES]]


def choose_samples(evaluated: Evaluated, seed: int) -> list[int]:
    """Return the positions of some test images; the same seed gives the same ones."""
    count = len(evaluated.test_images)
    return random.Random(seed).sample(range(count), min(SAMPLES, count))


def answers(
    evaluated: Evaluated,
    chosen: Sequence[int],
    picture_of: Callable[[ImageRecord], Embedded | None],
    heats: Mapping[int, Embedded] | None = None,
) -> list[Answer]:
    """Return what the network answered to some of the test images.

    Args:
        evaluated: the network and its evaluation.
        chosen: positions of test images.
        picture_of: makes a small copy of an image, or None if that can't be done.
        heats: copies with the heat of the answer, by position, of those that have one.
    """
    predicted = evaluated.test_probabilities.argmax(axis=1)
    return [
        Answer(
            name=evaluated.test_images[index].name,
            label=evaluated.test_images[index].label,
            predicted=evaluated.labels[predicted[index]],
            probability=float(evaluated.test_probabilities[index, predicted[index]]),
            picture=picture_of(evaluated.test_images[index]),
            heat=(heats or {}).get(index),
        )
        for index in chosen
    ]


def shown_suspects(
    evaluated: Evaluated, picture_of: Callable[[ImageRecord], Embedded | None]
) -> list[ShownSuspect]:
    """Return the images whose labels are contradicted most clearly, with small copies of them."""
    chosen = evaluated.suspects[:SUSPECTS]
    wanted = {suspect.sha256 for suspect in chosen}
    images = {
        image.sha256: image
        for part in evaluated.trained.splits.values()
        for image in part
        if image.sha256 in wanted
    }
    return [ShownSuspect(one, picture_of(images[one.sha256])) for one in chosen]


def predictor_address(settings: TrainerSettings) -> str:
    """Return the predictor's base URL as far as the trainer knows it."""
    default = f"http://localhost:{settings.predictor_port or 8001}"
    return (settings.predictor_url or default).rstrip("/")
