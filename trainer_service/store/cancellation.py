"""How the phases of a training notice that it was cancelled or asked to stop early."""

import time

from trainer_service.errors import TrainingCancelled
from trainer_service.store.records.record_index import Stamp
from trainer_service.store.stores import TrainingStore

POLL_INTERVAL = 0.3


class CancellationCheck:
    """Checks for requests to cancel or stop a training; call it as often as you like.

    It reads the small file with these requests at most about three times a second, and the record
    only when that has changed.

    Calling it raises TrainingCancelled if the training was cancelled or has ended.

    Attributes:
        stop_after: the last epoch to train, once a client has asked the training to stop.
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
        """Check immediately, for example before a step that can't be undone.

        Raises:
            TrainingCancelled: the training was cancelled or has ended.
        """
        self._next = time.monotonic() + POLL_INTERVAL
        asked = self._trainings.asked(self._training_id)
        self.stop_after = self.stop_after or asked.stop_after
        if asked.cancel or self._has_ended():
            raise TrainingCancelled(f"Training {self._training_id} was cancelled.")

    def _has_ended(self) -> bool:
        """Return whether the record has changed and now says ended or cancelled."""
        stamp = self._trainings.stamp(self._training_id)
        if stamp == self._stamp:
            return False
        record = self._trainings.get(self._training_id)
        self._stamp, self.stop_after = stamp, record.stop_after
        return record.cancel_requested or record.state.ended
