"""The queue as the API uses it: while Redis does not answer, clients get an error quickly."""

import time
from collections.abc import Iterable

from shared.errors import Unavailable
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.settings import TrainerSettings
from trainer_service.steps import Step

#: How long to wait for one answer of Redis. A submission waits for four answers at most.
SILENCE_SECONDS = 2.0

#: A submission that takes longer than this to fail has waited for a silent Redis.
SLOW_SECONDS = 1.0
#: After that, submissions fail at once for this long.
SPARED_SECONDS = 5.0


class PromptQueue(TaskQueue):
    """Submits steps for clients of the API, and fails within ten seconds if Redis does not answer.

    Args:
        settings: the settings with the address of Redis.
    """

    def __init__(self, settings: TrainerSettings) -> None:
        super().__init__(create_celery(settings, silence_seconds=SILENCE_SECONDS))
        self._silent_until = 0.0

    def submit(self, steps: Iterable[Step]) -> None:
        """Put the steps at the end of the queue.

        Raises:
            Unavailable: Redis refuses or does not answer, or did not in the last few seconds.
        """
        began = time.monotonic()
        if began < self._silent_until:
            raise Unavailable("Redis, which holds the queue, did not answer just now.")
        try:
            super().submit(steps)
        except Unavailable:
            now = time.monotonic()
            if now - began > SLOW_SECONDS:
                self._silent_until = now + SPARED_SECONDS
            raise
