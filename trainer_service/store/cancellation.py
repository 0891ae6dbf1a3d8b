"""How the phases of a training notice what was asked of it: to be cancelled, or to stop."""

import time

from trainer_service.errors import TrainingCancelled
from trainer_service.store.records.record_index import Stamp
from trainer_service.store.stores import TrainingStore

LOOK_INTERVAL = 0.3


class CancellationCheck:
    """Looks at what is asked at most about three times a second.

    That is a file of some bytes; the record is read only when it has changed.

    Calling it raises TrainingCancelled once the training is to be cancelled or has ended.

    Attributes:
        stop_after: the epoch after which the head is to stop, once somebody asked for that.
    """

    def __init__(self, trainings: TrainingStore, training_id: str) -> None:
        self.stop_after: int | None = None
        self._trainings = trainings
        self._training_id = training_id
        self._next = 0.0
        self._stamp: Stamp | None = None

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        """Look now, as before what can't be taken back."""
        self._next = time.monotonic() + LOOK_INTERVAL
        asked = self._trainings.asked(self._training_id)
        self.stop_after = self.stop_after or asked.stop_after
        if asked.cancel or self._has_ended():
            raise TrainingCancelled(f"Training {self._training_id} was cancelled.")

    def _has_ended(self) -> bool:
        """Return whether the training has ended, or was to be cancelled when it was read last."""
        stamp = self._trainings.stamp(self._training_id)
        if stamp == self._stamp:
            return False
        record = self._trainings.get(self._training_id)
        self._stamp, self.stop_after = stamp, record.stop_after
        return record.cancel_requested or record.state.ended
