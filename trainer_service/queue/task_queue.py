"""Puts steps on the queue."""

from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import ResponseError

from shared.errors import Unavailable
from shared.logs import get_logger, request_id
from trainer_service.steps import PREPARE, READ_DATASET, Step

#: A connection that was open when Redis restarted is found broken only by using it.
RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
_REFUSED_COMMAND = " of pipeline caused error: "

log = get_logger(__name__)


def trouble(error: BaseException) -> str:
    """Return what is wrong with Redis, in words."""
    # Celery wraps what the client raises.
    cause = error.__cause__ if isinstance(error, OperationalError) else None
    if isinstance(cause or error, ResponseError):
        # Of several commands at once, the client says first which was refused.
        return f"Redis refuses: {str(cause or error).rpartition(_REFUSED_COMMAND)[2]}"
    return f"Redis can't be reached: {error}"


class TaskQueue:
    """Submits tasks by name, so that the API need not import what the tasks import."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def prepare(self, training_id: str) -> None:
        self.submit([Step(PREPARE, (training_id,))])

    def read_dataset(self, dataset_id: str) -> None:
        self.submit([Step(READ_DATASET, (dataset_id,))])

    def submit(self, steps: Iterable[Step]) -> None:
        """Put the steps at the end of the queue.

        Raises:
            Unavailable: Redis is away, or refuses.
        """
        for step in steps:
            self._send(step)

    def _send(self, step: Step) -> None:
        came_from = request_id()
        try:
            self._app.send_task(
                step.task,
                args=step.arguments,
                task_id=step.id,
                priority=step.priority,
                headers={"request_id": came_from} if came_from else {},
                retry=True,
                retry_policy=RETRY,
            )
        except (OperationalError, RedisError, OSError) as error:
            raise Unavailable(f"Nothing can be queued. {trouble(error)}") from error


class WorkerQueue(TaskQueue):
    """What steps submit the next one with; without Redis, the search for lost steps does it."""

    def submit(self, steps: Iterable[Step]) -> None:
        try:
            super().submit(steps)
        except Unavailable as error:
            log.warning("the next step is submitted later", reason=str(error))
