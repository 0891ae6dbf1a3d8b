"""Runs the retention in the parent process of every worker."""

import threading
from typing import Any

from celery import bootsteps

from shared.logs import get_logger
from trainer_service.settings import TrainerSettings
from trainer_service.store.files.lease import LeaseWatch, lease
from trainer_service.store.stores import Stores
from trainer_service.worker.retention import Retention

INTERVAL = 600.0

log = get_logger(__name__)


class RetentionStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Removes what is due when the worker starts, and then every ten minutes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, *_: Any, **__: Any) -> None:
        settings = TrainerSettings()
        self._retention = Retention(Stores.open(settings), settings)
        self._lease = settings.store / ".retention.lease"
        self._watch = LeaseWatch(settings.lease_seconds)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        self._begin()
        self._timer = consumer.timer.call_repeatedly(INTERVAL, self._begin)

    def stop(self, _: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        """Run the retention in a thread, as the worker's event loop must not wait for disks."""
        threading.Thread(target=self._run, name="retention", daemon=True).start()

    def _run(self) -> None:
        try:
            # The check takes the lease from a worker whose host has vanished.
            self._watch.held(self._lease)
            with lease(self._lease) as held:
                if held is not None:  # else another worker is running it
                    self._retention()
        except Exception:
            log.exception("what is due is removed later")
