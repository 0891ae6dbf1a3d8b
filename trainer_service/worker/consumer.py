"""Celery's consumer, which goes on trying whatever Redis says, at growing intervals."""

import time

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from shared.logs import get_logger
from trainer_service.queue.task_queue import trouble
from trainer_service.store.work_metrics import QUEUE_ERRORS

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
#: After so long without trouble the next is a new one.
WELL_SECONDS = 60.0
LOOK_SECONDS = 0.2

log = get_logger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Waits before it connects anew, the longer the more often that was in vain.

    Celery itself waits only for a Redis that can't be reached. One that is reached and refuses, as
    it may be a replica, out of memory, or unable to save, would be asked without a pause.
    """

    _trouble_at = 0.0
    _pause = FIRST_SECONDS
    _told: str | None = None

    def on_ready(self) -> None:
        super().on_ready()
        if self._told is not None:
            log.info("the queue can be used again")

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self._wait(exc)

    def _wait(self, exc: Exception) -> None:
        QUEUE_ERRORS.inc()
        if time.monotonic() - self._trouble_at > WELL_SECONDS:
            self._pause, self._told = FIRST_SECONDS, None
        if self._told != (reason := trouble(exc)):
            self._told = reason
            log.error("the queue can't be used: trying again and again", reason=reason)
        _sleep(self._pause)
        self._pause = min(LONGEST_SECONDS, self._pause * 2)
        self._trouble_at = time.monotonic()


def _sleep(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        maybe_shutdown()
        time.sleep(LOOK_SECONDS)
