"""How the phases of a training notice what was asked of it: to be cancelled, or to stop."""

import time

from shared.errors import TrainingCancelled
from trainer_service.record_store import RecordStore
from trainer_service.schemas import TrainingRecord

LOOK_INTERVAL = 0.3


class CancellationWatch:
    """Looks at the record at most about three times a second.

    Calling it raises TrainingCancelled once the training is to be cancelled or has ended.

    Attributes:
        stop_after: the epoch after which the head is to stop, once somebody asked for that.
    """

    def __init__(self, trainings: RecordStore[TrainingRecord], training_id: str) -> None:
        self.stop_after: int | None = None
        self._trainings = trainings
        self._training_id = training_id
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self.look()

    def look(self) -> None:
        """Look now, as before what can't be taken back."""
        self._next = time.monotonic() + LOOK_INTERVAL
        record = self._trainings.get(self._training_id)
        self.stop_after = record.stop_after
        if record.cancel_requested or record.state.ended:
            raise TrainingCancelled(f"Training {self._training_id} was cancelled.")
