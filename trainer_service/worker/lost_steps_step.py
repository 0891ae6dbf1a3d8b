"""Searches for lost steps in each worker's parent process, and registers the worker as alive.

It also claims the queue for the worker's store. Steps name what lies in the store, so those of
another store would be dropped, found to be lost, submitted again, and dropped again.
"""

import os
import socket
from contextlib import suppress
from typing import Any

from celery import bootsteps
from redis import RedisError

from shared.logs import get_logger
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.queue.view import ForeignQueue, QueueView
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.identity import store_id
from trainer_service.store.outcome import in_words
from trainer_service.store.stores import Stores
from trainer_service.worker.lost_steps import LostSteps

log = get_logger(__name__)

#: The name of this process, unique among the workers of all hosts.
WORKER = f"{socket.gethostname()}:{os.getpid()}"


class LostStepsSearch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Searches at intervals while the worker is connected to Redis; reconnecting restarts it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        settings = TrainerSettings()
        self._view = QueueView(connect(settings.redis_url))
        self._store = settings.store
        self._lease_seconds = settings.lease_seconds
        self._search = LostSteps(
            Stores.open(settings),
            self._view,
            TaskQueue(consumer.app),
            settings.lease_seconds,
        )
        self._timer: Any = None
        self._trouble: str | None = None

    def start(self, consumer: Any) -> None:
        self._turn()
        self._timer = consumer.timer.call_repeatedly(self._search.interval, self._turn)

    def _turn(self) -> None:
        self._own()
        with suppress(RedisError, OSError):  # the consumer gets the same error and logs it
            self._view.sign_in(WORKER, self._lease_seconds)
        try:
            self._search()
        except Exception as error:
            # A worker that can't search can still run steps.
            if self._trouble != (reason := in_words(error)):
                log.exception("lost steps are looked for later")
            self._trouble = reason
        else:
            self._trouble = None

    def _own(self) -> None:
        """Claim the queue for this worker's store.

        Raises:
            ForeignQueue: it is another store's, whose steps this worker could only drop. The
                consumer then takes none, and tries to connect again and again.
        """
        try:
            if (own := store_id(self._store)) is not None:
                self._view.own(own, self._lease_seconds)
        except ForeignQueue:
            raise
        except RedisError as error:  # the consumer gets the same error and logs it
            log.debug("the queue was not claimed", reason=str(error))

    def stop(self, _: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
