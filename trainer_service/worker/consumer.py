"""Celery's consumer, changed to reconnect after any error of Redis, at growing intervals."""

import time

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from shared.logs import get_logger
from trainer_service.queue.task_queue import trouble
from trainer_service.store.work_metrics import QUEUE_ERRORS

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
#: After this long without an error, the intervals start again with `FIRST_SECONDS`.
WELL_SECONDS = 60.0
POLL_SECONDS = 0.2

log = get_logger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Reconnects to Redis with exponential backoff, whatever the error was.

    Celery itself waits only if Redis can't be reached. If Redis refuses a command, e.g. since it is
    a replica, out of memory, or unable to save, Celery would retry without a pause.
    """

    _trouble_at = 0.0
    _pause = FIRST_SECONDS
    _reported: str | None = None

    def on_ready(self) -> None:
        super().on_ready()
        if self._reported is not None:
            log.info("the queue can be used again")

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        self._wait(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        self._wait(exc)

    def _wait(self, exc: Exception) -> None:
        QUEUE_ERRORS.inc()
        if time.monotonic() - self._trouble_at > WELL_SECONDS:
            self._pause, self._reported = FIRST_SECONDS, None
        if self._reported != (reason := trouble(exc)):
            self._reported = reason
            log.error("the queue can't be used: trying again and again", reason=reason)
        _sleep(self._pause)
        self._pause = min(LONGEST_SECONDS, self._pause * 2)
        self._trouble_at = time.monotonic()


def _sleep(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        maybe_shutdown()
        time.sleep(POLL_SECONDS)
