"""What the trainer API works with."""

from dataclasses import dataclass
from typing import Protocol

from trainer_service.service.endings import Endings
from trainer_service.service.event_streams import EventStreams
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores


class Queue(Protocol):
    """Where the first step of what is submitted is put; both raise Unavailable without Redis."""

    def prepare(self, training_id: str) -> None: ...

    def read_dataset(self, dataset_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Trainer:
    """What the trainer API works with."""

    settings: TrainerSettings
    stores: Stores
    board: ProgressBoard
    queue: Queue
    streams: EventStreams
    endings: Endings
