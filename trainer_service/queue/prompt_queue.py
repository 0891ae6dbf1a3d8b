"""The queue as the API uses it: while Redis keeps silent, clients hear so at once."""

import time
from collections.abc import Iterable

from shared.errors import Unavailable
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.settings import TrainerSettings
from trainer_service.steps import Step

#: How long one answer of Redis is waited for; up to four are, on a connection that was open.
SILENCE_SECONDS = 2.0

#: What takes longer than that to fail did so by waiting.
SLOW_SECONDS = 1.0
#: So long nobody else is made to wait for the same.
SPARED_SECONDS = 5.0


class PromptQueue(TaskQueue):
    """Submits for clients of the API, which get an answer within ten seconds, Redis or no Redis."""

    def __init__(self, settings: TrainerSettings) -> None:
        super().__init__(create_celery(settings, silence_seconds=SILENCE_SECONDS))
        self._silent_until = 0.0

    def submit(self, steps: Iterable[Step]) -> None:
        """Put the steps at the end of the queue.

        Raises:
            Unavailable: Redis is away, or was found silent just now.
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
