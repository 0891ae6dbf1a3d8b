"""Publishes the version of a training that its comparison has withheld."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from shared.documents import read_document
from shared.errors import Conflict, VersionNotFound
from shared.models.manifest import MANIFEST_FILE, Manifest
from shared.models.model_store import REPORT_FILE, REPORT_PAGE, verify
from trainer_service.phases.publish.paired_answers import Answers, Incomparable
from trainer_service.phases.publish.promotion import judge_version, promotion_of
from trainer_service.report.page import renumbered
from trainer_service.store.promoting import ModelChanged
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.stores import Stores


def publish_withheld(stores: Stores, training: TrainingRecord) -> int:
    """Make a withheld version the next one of its model, and return its number.

    It may be repeated: a training publishes once. The files are linked, not copied, so they take
    no further room.

    Raises:
        Conflict: the training has no version, or no number is left for another one.
        VersionCorrupt: its version is damaged.
        OSError: the store can't be written.
    """
    version = stores.models.published_by(training.model, training.id)
    if version is None:
        version = _publish(stores, training)

    promotion = promotion_of(stores.models, training.model, version)

    def note(record: TrainingRecord) -> None:
        record.version, record.promotion = version, promotion

    stores.trainings.update(training.id, note)
    return version


def _publish(stores: Stores, training: TrainingRecord) -> int:
    if training.withheld is None:
        raise Conflict(f"Training {training.id!r} has no version: it is {training.state}.")
    source = stores.models_of(training).directory(training.model, training.withheld)
    manifest = verify(source)
    with stores.models.stage(training.model) as staging:
        _link(source, staging)

        def complete(final: Manifest) -> None:
            page = source / REPORT_PAGE
            if page.is_file():
                text = renumbered(page.read_text("utf-8"), manifest, final.version)
                (staging / REPORT_PAGE).write_text(text, "utf-8")

        final = manifest.model_copy(update={"version": 0, "files": []})
        # Beside the record, that of many labels has only its totals.
        evaluation = json.loads(read_document(source / REPORT_FILE))
        asked, test = training.request.promote, evaluation["metrics"]["test"]
        while True:
            seen = stores.models.state(training.model)
            with suppress(ModelChanged, VersionNotFound):
                verdict = judge_version(
                    stores.models, seen, asked, manifest.labels, test, _not_compared
                )
                return stores.models.publish(staging, final, complete, verdict, seen)


def _not_compared(served: Manifest) -> Answers:
    raise Incomparable(f"the answers to compare with version {served.version} were not kept.")


def _link(source: Path, target: Path) -> None:
    """Link the files of a version, but the manifest and the report, which name its number."""
    for file in source.rglob("*"):
        name = file.relative_to(source)
        if file.is_dir() or name.as_posix() in {MANIFEST_FILE, REPORT_PAGE}:
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target / name)
        except OSError:  # not every file system has links
            shutil.copyfile(file, target / name)
