"""The parts of the store that the trainer API and its workers share."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from shared.documents import read_small
from shared.files import atomic_write, is_disk_full
from shared.logs import get_logger
from trainer_service.errors import DatasetNotFound, RecordCorrupt, TrainingNotFound
from trainer_service.settings import TrainerSettings
from trainer_service.store.comparisons import COMPARISONS, ComparisonStore
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.idempotency import IdempotencyKeys
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.comparison_record import ComparisonRecord
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.parts import Brief
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import Asked, TrainingRecord, abridged
from trainer_service.store.work_metrics import ENDED, PHASE_SECONDS

_metrics: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

log = get_logger(__name__)

#: Directory in a training's directory, which is needed only until the training has ended.
SHARDS = "shards"
#: Directory of uploaded files until they become datasets; each request has a directory in it.
UPLOADS = "uploads"
#: File in a training's directory with the requests to cancel or stop it: an `Asked`.
ASKED_FILE = "asked.json"
MOST_ASKED_BYTES = 4096
#: File in a training's directory with its evaluation; that of many labels only has the totals.
METRICS_FILE = "metrics.json"
MOST_METRICS_BYTES = 2**24
#: Directory of converted backbones, so that later worker processes need not convert them again.
BACKBONES = "backbones"
#: Directories of what networks make of images: features, and what fine-tuning learns from.
FEATURES_FOLDER = "features"
ACTIVATIONS_FOLDER = "activations"


class TrainingStore(RecordStore[TrainingRecord]):
    """Records of trainings; each change of a record also appends events.

    Requests to cancel or stop a training are kept in a small file beside its record, so that its
    worker can check for them three times a second. Records of earlier releases hold them
    themselves.
    """

    def __init__(self, root: Path, events: EventLog) -> None:
        super().__init__(root, TrainingRecord, TrainingNotFound)
        self._events = events

    def create(self, record: TrainingRecord) -> Path:
        """Write a new record with its first events, and return its directory."""
        directory = self.directory(record.id)
        directory.mkdir(parents=True, exist_ok=True)
        # Created now and replaced later: NFS clients see a changed file sooner than a new one.
        (directory / ASKED_FILE).write_text(Asked().model_dump_json())
        return super().create(record)

    def get(self, record_id: str) -> TrainingRecord:
        """Return a record, with what clients have asked for until now."""
        return self.with_asked(super().get(record_id))

    def with_asked(self, record: TrainingRecord) -> TrainingRecord:
        """Set `cancel_requested`, `stop_after` and `stop_tuning` of a record, and return it."""
        asked = self.asked(record.id)
        record.cancel_requested = record.cancel_requested or asked.cancel
        record.stop_after = record.stop_after or asked.stop_after
        record.stop_tuning = record.stop_tuning or asked.stop_tuning
        return record

    def asked(self, record_id: str) -> Asked:
        """Return the requests to cancel or stop a training.

        A file that can't be read counts as no request, since clients can repeat theirs.
        """
        file = self.directory(record_id) / ASKED_FILE
        try:
            return Asked.model_validate_json(read_small(file, MOST_ASKED_BYTES))
        except (OSError, ValidationError):
            return Asked()

    def ask(self, record_id: str, change: Callable[[TrainingRecord], None]) -> TrainingRecord:
        """Request that a training be cancelled or stopped.

        Args:
            record_id: the id of the training.
            change: sets `cancel_requested`, `stop_after` or `stop_tuning` of the record that it is
                called with; other changes are not kept. If it raises, nothing is written.

        Returns:
            The changed record.
        """
        with self.locked(record_id):
            record = self.get(record_id)
            change(record)
            asked = Asked(
                cancel=record.cancel_requested,
                stop_after=record.stop_after,
                stop_tuning=record.stop_tuning,
            )
            _write_asked(self.directory(record_id) / ASKED_FILE, asked)
        return record

    def keep_evaluation(self, record_id: str, metrics: dict[str, Any]) -> None:
        """Write the evaluation beside the record, which holds only the totals."""
        file = self.directory(record_id) / METRICS_FILE
        atomic_write(file, _metrics.dump_json(abridged(metrics)))

    def evaluation(self, record: TrainingRecord) -> dict[str, Any]:
        """Return the evaluation of a training's model; with many labels, only its totals.

        If the file can't be read, what the record holds is returned: in records of earlier
        releases that is the whole evaluation. The report always has it all.
        """
        try:
            file = self.directory(record.id) / METRICS_FILE
            return _metrics.validate_json(read_small(file, MOST_METRICS_BYTES))
        except (OSError, ValidationError):
            return abridged(record.metrics)

    def update(self, record_id: str, change: Callable[[TrainingRecord], None]) -> TrainingRecord:
        """Change a record as `RecordStore.update`, and log and count the states it enters."""
        with self.locked(record_id):
            record = self.get(record_id)
            known = len(record.transitions)
            change(record)
            self._write(record)
        reason = {"reason": record.error.detail} if record.error else {}
        for transition in record.transitions[known:]:
            state = transition.state
            log.info("entered", training_id=record.id, model=record.model, state=state, **reason)
            if state.ended:
                ENDED.labels(state).inc()
        for left in record.transitions[known - 1 : -1]:
            PHASE_SECONDS.labels(left.state).observe(left.seconds or 0)
        return record

    def _write(self, record: TrainingRecord) -> None:
        super()._write(record)
        self._events.append_missing(record)
        if record.state.ended:
            self.clear(record.id)

    def clear(self, training_id: str) -> None:
        """Remove the files that a training needs only until it has ended."""
        with suppress(OSError):
            remove_tree(self.directory(training_id) / SHARDS)


def _write_asked(file: Path, asked: Asked) -> None:
    """Write what clients have asked for; on a full disk over what is there.

    A training that has filled the disk must be able to be cancelled.
    """
    data = asked.model_dump_json().encode()
    try:
        atomic_write(file, data)
    except OSError as error:
        if not is_disk_full(error):
            raise
        with file.open("r+b", buffering=0) as opened:
            opened.write(data)
            opened.truncate()


@dataclass(frozen=True, slots=True)
class Stores:
    """All parts of the store, opened by `Stores.open`."""

    datasets: RecordStore[DatasetRecord]
    trainings: TrainingStore
    events: EventLog
    models: WritableModelStore
    keys: IdempotencyKeys
    comparisons: ComparisonStore
    comparison_events: EventLog

    @classmethod
    def open(cls, settings: TrainerSettings) -> Self:
        """Open the store that the settings name; nothing is created or read yet."""
        trainings = settings.store / "trainings"
        comparisons = settings.store / COMPARISONS
        redis = connect(settings.redis_url)
        events, comparison_events = EventLog(trainings, redis), EventLog(comparisons, redis)
        return cls(
            RecordStore(settings.store / "datasets", DatasetRecord, DatasetNotFound),
            TrainingStore(trainings, events),
            events,
            WritableModelStore(settings.store),
            IdempotencyKeys(settings.store / "idempotency"),
            ComparisonStore(comparisons, comparison_events),
            comparison_events,
        )

    def models_of(self, training: TrainingRecord) -> WritableModelStore:
        """Return the model store that a training writes its version to.

        That of a training of a comparison is withheld until the comparison publishes it.
        """
        if training.comparison is None:
            return self.models
        return self.comparisons.withheld(training.comparison)

    def remove_comparison(self, record: ComparisonRecord) -> None:
        """Remove a comparison with its trainings, except those that were published."""

        def release(training: TrainingRecord) -> None:
            training.comparison = training.withheld = None

        for training_id in record.members:
            with suppress(TrainingNotFound, RecordCorrupt):
                if self.trainings.get(training_id).version is None:
                    self.trainings.delete(training_id)
                else:
                    self.trainings.update(training_id, release)
        self.comparisons.delete(record.id)

    def open_jobs(self) -> list[Brief]:
        """Return the summaries of the trainings and comparisons that have not ended.

        Raises:
            RecordCorrupt, Unavailable: a record can't be read.
        """
        every = (*self.trainings.every(), *self.comparisons.every())
        return [brief for brief in every if brief.waits]

    def used_datasets(self) -> set[str]:
        """Return the ids of the datasets of all trainings, and of comparisons that have not ended.

        Raises:
            RecordCorrupt, Unavailable: a record can't be read.
        """
        trainings = {brief.dataset for brief in self.trainings.every()}
        return trainings | {brief.dataset for brief in self.comparisons.every() if brief.waits}
