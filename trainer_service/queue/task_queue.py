"""Puts steps on the queue."""

from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import ResponseError

from shared.errors import Unavailable
from shared.logs import get_logger, request_id
from trainer_service.queue.steps import ADVANCE, PREPARE, READ_DATASET, Step
from trainer_service.queue.view import ForeignQueue

#: One retry: a connection that a restart of Redis has broken is only noticed when it is used.
RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
_REFUSED_COMMAND = " of pipeline caused error: "

log = get_logger(__name__)


def trouble(error: BaseException) -> str:
    """Return a sentence about what is wrong with Redis, given an error of its client."""
    if isinstance(error, ForeignQueue):
        return str(error)
    # Celery wraps what the client raises.
    cause = error.__cause__ if isinstance(error, OperationalError) else None
    if isinstance(cause or error, ResponseError):
        # For a pipeline, the client puts the refused command before Redis' own message.
        return f"Redis refuses: {str(cause or error).rpartition(_REFUSED_COMMAND)[2]}"
    return f"Redis can't be reached: {error}"


class TaskQueue:
    """Submits steps as Celery tasks by name, so that the API does not import TensorFlow.

    Args:
        app: the Celery application.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def prepare(self, training_id: str) -> None:
        """Submit the first step of a training whose dataset has been read."""
        self.submit([Step(PREPARE, (training_id,))])

    def read_dataset(self, dataset_id: str) -> None:
        """Submit the reading of a dataset."""
        self.submit([Step(READ_DATASET, (dataset_id,))])

    def advance(self, comparison_id: str) -> None:
        """Submit the step that looks what comes next in a comparison."""
        self.submit([Step(ADVANCE, (comparison_id,))])

    def submit(self, steps: Iterable[Step]) -> None:
        """Put the steps at the end of the queue.

        Raises:
            Unavailable: Redis can't be reached, or refuses.
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
    """The queue as steps use it to submit the next one.

    If Redis can't be used, it only logs that: the search for lost steps submits the step later.
    """

    def submit(self, steps: Iterable[Step]) -> None:
        try:
            super().submit(steps)
        except Unavailable as error:
            log.warning("the next step is submitted later", reason=str(error))
