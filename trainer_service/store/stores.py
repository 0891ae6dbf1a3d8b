"""The parts of the store that the trainer API and its workers share."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from shared.files import atomic_write
from shared.logs import get_logger
from trainer_service.errors import DatasetNotFound, TrainingNotFound
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.idempotency import IdempotencyKeys
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import Asked, TrainingRecord, told
from trainer_service.store.removal import remove_tree
from trainer_service.store.small_files import read_small
from trainer_service.store.work_metrics import ENDED, PHASE_SECONDS

_metrics: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])

log = get_logger(__name__)

#: What only a training that has not ended needs, in its directory.
SHARDS = "shards"
#: Where the files of requests lie until they become datasets, a directory for each request.
UPLOADS = "uploads"
#: What is asked of a training: to be cancelled, or to stop.
ASKED_FILE = "asked.json"
MOST_ASKED_BYTES = 4096
#: The evaluation of a training with few labels.
METRICS_FILE = "metrics.json"
MOST_METRICS_BYTES = 2**24
#: Converted backbones: a later worker process need not convert them again.
BACKBONES = "backbones"


class TrainingStore(RecordStore[TrainingRecord]):
    """Records of trainings; each change of one is announced by events.

    What is asked of a training lies beside its record, so that its worker can look at it three
    times a second. A record may tell it as well, if it was written before.
    """

    def __init__(self, root: Path, events: EventLog) -> None:
        super().__init__(root, TrainingRecord, TrainingNotFound)
        self._events = events

    def create(self, record: TrainingRecord) -> Path:
        directory = self.directory(record.id)
        directory.mkdir(parents=True, exist_ok=True)
        # A file that is there: file servers may tell late of one that has come.
        (directory / ASKED_FILE).write_text(Asked().model_dump_json())
        return super().create(record)

    def get(self, record_id: str) -> TrainingRecord:
        """Return a record, and in it what is asked of the training."""
        return self.with_asked(super().get(record_id))

    def with_asked(self, record: TrainingRecord) -> TrainingRecord:
        """Fill in what is asked of a training."""
        asked = self.asked(record.id)
        record.cancel_requested = record.cancel_requested or asked.cancel
        record.stop_after = record.stop_after or asked.stop_after
        return record

    def asked(self, record_id: str) -> Asked:
        """Return what is asked of a training; what can't be read can be asked again."""
        file = self.directory(record_id) / ASKED_FILE
        try:
            return Asked.model_validate_json(read_small(file, MOST_ASKED_BYTES))
        except (OSError, ValidationError):
            return Asked()

    def ask(self, record_id: str, change: Callable[[TrainingRecord], None]) -> TrainingRecord:
        """Apply `change` to what the record tells is asked, and keep that alone.

        Nothing is written if it raises.
        """
        with self.locked(record_id):
            record = self.get(record_id)
            change(record)
            asked = Asked(cancel=record.cancel_requested, stop_after=record.stop_after)
            file = self.directory(record_id) / ASKED_FILE
            atomic_write(file, asked.model_dump_json().encode())
        return record

    def keep_evaluation(self, record_id: str, metrics: dict[str, Any]) -> None:
        """Write the metrics of each label beside the record, which holds only the summary."""
        file = self.directory(record_id) / METRICS_FILE
        atomic_write(file, _metrics.dump_json(told(metrics)))

    def evaluation(self, record: TrainingRecord) -> dict[str, Any]:
        """Return the whole evaluation of a training's model.

        Records of before have it all themselves. What can't be read is in the report, too.
        """
        try:
            file = self.directory(record.id) / METRICS_FILE
            return _metrics.validate_json(read_small(file, MOST_METRICS_BYTES))
        except (OSError, ValidationError):
            return told(record.metrics)

    def update(self, record_id: str, change: Callable[[TrainingRecord], None]) -> TrainingRecord:
        known = 0

        def watched(record: TrainingRecord) -> None:
            nonlocal known
            known = len(record.transitions)
            change(record)

        record = super().update(record_id, watched)
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
        """Remove what only a training that has not ended needs."""
        with suppress(OSError):
            remove_tree(self.directory(training_id) / SHARDS)


@dataclass(frozen=True, slots=True)
class Stores:
    datasets: RecordStore[DatasetRecord]
    trainings: TrainingStore
    events: EventLog
    models: WritableModelStore
    keys: IdempotencyKeys

    @classmethod
    def open(cls, settings: TrainerSettings) -> Self:
        trainings = settings.store / "trainings"
        events = EventLog(trainings, connect(settings.redis_url))
        return cls(
            RecordStore(settings.store / "datasets", DatasetRecord, DatasetNotFound),
            TrainingStore(trainings, events),
            events,
            WritableModelStore(settings.store),
            IdempotencyKeys(settings.store / "idempotency"),
        )
