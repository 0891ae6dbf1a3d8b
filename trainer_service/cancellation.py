"""How the phases of a training notice that it was cancelled."""

import time

from shared.errors import TrainingCancelled
from trainer_service.record_store import RecordStore
from trainer_service.schemas import TrainingRecord

LOOK_INTERVAL = 0.3


class CancellationWatch:
    """Looks at the record at most about three times a second.

    Calling it raises TrainingCancelled once the training is to be cancelled or has ended.
    """

    def __init__(self, trainings: RecordStore[TrainingRecord], training_id: str) -> None:
        self._trainings = trainings
        self._training_id = training_id
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK_INTERVAL
        record = self._trainings.get(self._training_id)
        if record.cancel_requested or record.state.ended:
            raise TrainingCancelled(f"Training {self._training_id} was cancelled.")
