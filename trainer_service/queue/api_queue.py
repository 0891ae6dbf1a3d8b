"""The queue as the API uses it: while Redis does not answer, clients get an error quickly."""

import time
from collections.abc import Iterable

from redis import RedisError

from shared.errors import Unavailable
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.steps import Step
from trainer_service.queue.task_queue import TaskQueue, trouble
from trainer_service.queue.view import QueueView
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.identity import store_id

#: How long to wait for one answer of Redis. A submission waits for five answers at most.
SILENCE_SECONDS = 2.0

#: A submission that takes longer than this to fail has waited for a silent Redis.
SLOW_SECONDS = 1.0
#: After that, submissions fail at once for this long.
SPARED_SECONDS = 5.0


class ApiQueue(TaskQueue):
    """Submits steps for clients of the API, and fails within ten seconds if Redis does not answer.

    Args:
        settings: the settings with the address of Redis.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        super().__init__(create_celery(settings, silence_seconds=SILENCE_SECONDS))
        self._view = QueueView(connect(settings.redis_url))
        self._store = settings.store
        self._silent_until = 0.0

    def submit(self, steps: Iterable[Step]) -> None:
        """Put the steps at the end of the queue.

        Raises:
            Unavailable: Redis refuses or does not answer, or did not in the last few seconds, or
                the workers of another store use it.
        """
        began = time.monotonic()
        if began < self._silent_until:
            raise Unavailable("Redis, which holds the queue, did not answer just now.")
        try:
            self._require_own()
            super().submit(steps)
        except Unavailable:
            now = time.monotonic()
            if now - began > SLOW_SECONDS:
                self._silent_until = now + SPARED_SECONDS
            raise

    def _require_own(self) -> None:
        try:
            self._view.require_own(store_id(self._store))
        except RedisError as error:
            raise Unavailable(f"Nothing can be queued. {trouble(error)}") from error
