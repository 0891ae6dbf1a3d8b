"""The row of a training in the table of its comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from shared.documents import read_document
from shared.engines import select_engine, serving_precisions
from shared.models.manifest import MANIFEST_FILE
from shared.models.model_store import REPORT_FILE
from trainer_service.backbones.architectures import find_architecture
from trainer_service.comparisons.recommend import best_of
from trainer_service.comparisons.serving_cost import CostUnknown, serving_cost
from trainer_service.comparisons.statistics import duel
from trainer_service.phases.work import Worker
from trainer_service.store.records.comparison_record import Row
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import Stores

#: The phases in which a training waits for no other one, and no other one does its work.
_OWN = {State.HEAD, State.TUNING, State.EVALUATING, State.PUBLISHING}


class _TestRow(BaseModel):
    sha256: str
    label: str
    predicted: str


class _Report(BaseModel):
    test: list[_TestRow]


def measured_row(
    worker: Worker, training: TrainingRecord, check_cancelled: Callable[[], None]
) -> Row:
    """Return the row of a training that has succeeded, not yet compared with the best one.

    Raises:
        VersionCorrupt, Unreadable, OSError: its version can't be read.
    """
    stores = worker.stores
    version = _directory(stores, training)
    manifest = stores.models_of(training).manifest(training.model, _number(training))
    test = stores.trainings.evaluation(training)["test"]
    cost, why = None, None
    engine = select_engine(worker.settings.engine)
    precisions = serving_precisions(engine, worker.settings.precision, quantized=manifest.quantized)
    try:
        cost = serving_cost(version, engine, precisions, worker.threads, check_cancelled)
    except CostUnknown as unknown:
        why = str(unknown)
    return Row(
        images=test["images"],
        accuracy=test["accuracy"],
        accuracy_low=test["accuracy_low"],
        accuracy_high=test["accuracy_high"],
        loss=test["loss"],
        macro_f1=test["macro_f1"],
        training_seconds=training_seconds(training),
        cost=cost,
        cost_error=why,
        version_bytes=sum(entry.bytes for entry in manifest.files)
        + (version / MANIFEST_FILE).stat().st_size,
        multiply_adds=find_architecture(training.architecture).multiply_adds,
    )


def training_seconds(training: TrainingRecord) -> float:
    """Return how long a training takes without stored features and without waiting for others."""
    own = sum(one.seconds or 0.0 for one in training.transitions if one.state in _OWN)
    return round(own + (training.feature_seconds or 0.0), 1)


def right_answers(stores: Stores, training: TrainingRecord) -> dict[str, bool]:
    """Return which test images a training answers right, by their hashes.

    Raises:
        Unreadable, OSError, ValueError: its report can't be read.
    """
    report = _Report.model_validate_json(read_document(_directory(stores, training) / REPORT_FILE))
    return {row.sha256: row.predicted == row.label for row in report.test}


def compare_rows(
    rows: Mapping[str, Row], answers: Mapping[str, Mapping[str, bool]]
) -> tuple[str, dict[str, Row]]:
    """Return the name of the best row, and all rows compared with it.

    Args:
        rows: by name; there is at least one.
        answers: of each, which test images are answered right.
    """
    names = list(rows)
    best = names[best_of([(rows[name].accuracy, rows[name].loss) for name in names])]
    compared = {}
    for name in names:
        found = duel(answers[name], answers[best])
        images = len(answers[name].keys() & answers[best].keys())
        compared[name] = rows[name].model_copy(
            update={
                "difference": round((found.losses - found.wins) / images, 6) if images else 0.0,
                "wins": found.wins,
                "losses": found.losses,
                "p": found.p,
            }
        )
    return best, compared


def _directory(stores: Stores, training: TrainingRecord) -> Path:
    return stores.models_of(training).directory(training.model, _number(training))


def _number(training: TrainingRecord) -> int:
    return training.withheld or 0
