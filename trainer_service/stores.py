"""The parts of the store that the trainer API and its workers share."""

from dataclasses import dataclass
from typing import Self

from shared.errors import DatasetNotFound, TrainingNotFound
from shared.model_store import ModelStore
from trainer_service.record_store import RecordStore
from trainer_service.schemas import DatasetRecord, TrainingRecord
from trainer_service.settings import TrainerSettings


@dataclass(frozen=True, slots=True)
class Stores:
    datasets: RecordStore[DatasetRecord]
    trainings: RecordStore[TrainingRecord]
    models: ModelStore

    @classmethod
    def open(cls, settings: TrainerSettings) -> Self:
        return cls(
            RecordStore(settings.store / "datasets", DatasetRecord, DatasetNotFound),
            RecordStore(settings.store / "trainings", TrainingRecord, TrainingNotFound),
            ModelStore(settings.store),
        )
