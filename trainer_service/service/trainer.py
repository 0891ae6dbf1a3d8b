"""The dependencies of the trainer API's operations."""

from dataclasses import dataclass, field
from typing import Protocol

from trainer_service.service.endings import Endings
from trainer_service.service.event_streams import EventStreams
from trainer_service.service.usage import UsageMeter
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores


class Queue(Protocol):
    """The queue as the API uses it; its methods raise Unavailable if Redis does not answer."""

    def prepare(self, training_id: str) -> None:
        """Submit the first step of a training whose dataset has been read."""

    def read_dataset(self, dataset_id: str) -> None:
        """Submit the reading of a dataset."""

    def advance(self, comparison_id: str) -> None:
        """Submit the step that looks what comes next in a comparison."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """Everything that the operations of the trainer API need.

    Attributes:
        settings: the settings of the service.
        stores: the parts of the store.
        board: the progress of trainings.
        queue: the queue for the steps of workers.
        streams: streams of events for clients.
        endings: waits for the ends of trainings.
        comparison_streams, comparison_endings: the same of comparisons.
        usage: measures what lies in the store.
    """

    settings: TrainerSettings
    stores: Stores
    board: ProgressBoard
    queue: Queue
    streams: EventStreams
    endings: Endings
    comparison_streams: EventStreams
    comparison_endings: Endings
    usage: UsageMeter = field(default_factory=UsageMeter)
