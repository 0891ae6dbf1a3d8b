"""The parts of the store that the trainer API and its workers share."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.errors import DatasetNotFound, TrainingNotFound
from shared.logs import get_logger
from shared.model_store import ModelStore
from trainer_service.event_log import EventLog, connect
from trainer_service.idempotency import IdempotencyKeys
from trainer_service.record_store import RecordStore
from trainer_service.schemas import DatasetRecord, TrainingRecord
from trainer_service.settings import TrainerSettings
from trainer_service.work_metrics import ENDED, PHASE_SECONDS

log = get_logger(__name__)

#: What only a training that has not ended needs, in its directory.
SHARDS = "shards"
#: Where the files of requests lie until they become datasets, a directory for each request.
UPLOADS = "uploads"
#: Converted backbones: a later worker process need not convert them again.
BACKBONES = "backbones"


class TrainingStore(RecordStore[TrainingRecord]):
    """Records of trainings; whatever changes in one is told as events."""

    def __init__(self, root: Path, events: EventLog) -> None:
        super().__init__(root, TrainingRecord, TrainingNotFound)
        self._events = events

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
        self._events.tell(record)
        if record.state.ended:
            self.clear(record.id)

    def clear(self, training_id: str) -> None:
        """Remove what only a training that has not ended needs."""
        shutil.rmtree(self.directory(training_id) / SHARDS, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Stores:
    datasets: RecordStore[DatasetRecord]
    trainings: TrainingStore
    events: EventLog
    models: ModelStore
    keys: IdempotencyKeys

    @classmethod
    def open(cls, settings: TrainerSettings) -> Self:
        trainings = settings.store / "trainings"
        events = EventLog(trainings, connect(settings.redis_url))
        return cls(
            RecordStore(settings.store / "datasets", DatasetRecord, DatasetNotFound),
            TrainingStore(trainings, events),
            events,
            ModelStore(settings.store),
            IdempotencyKeys(settings.store / "idempotency"),
        )
