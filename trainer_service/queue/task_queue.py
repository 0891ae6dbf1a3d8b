"""Puts steps on the queue, and tells which are on it."""

import json
from collections.abc import Iterable
from itertools import chain

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import ResponseError

from shared.errors import Unavailable
from shared.logs import get_logger, request_id
from trainer_service.queue.celery_app import QUEUE_KEYS
from trainer_service.steps import PREPARE, READ_DATASET, Step

#: A connection that was open when Redis restarted is found broken only by using it.
RETRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0}

#: A list with the lines of the queue that were no steps, the newest first.
UNREADABLE = "headstart:unreadable"

#: With the name of a worker, for as long as it lives.
WORKER_KEY = "headstart:worker:"

log = get_logger(__name__)


def trouble(error: BaseException) -> str:
    """Return what is wrong with Redis, in words."""
    # Celery wraps what the client raises.
    cause = error.__cause__ if isinstance(error, OperationalError) else None
    if isinstance(cause or error, ResponseError):
        return f"Redis refuses: {cause or error}"
    return f"Redis can't be reached: {error}"


class TaskQueue:
    """Submits tasks by name, so that whoever submits need not import what the tasks import."""

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
    """What the steps themselves submit with: while Redis is away they leave it to the sweep."""

    def submit(self, steps: Iterable[Step]) -> None:
        try:
            super().submit(steps)
        except Unavailable as error:
            log.warning("the next step is submitted later", reason=str(error))


class QueueView:
    """What lies on the queue, as Celery's Redis transport keeps it: lists of JSON messages."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def steps(self) -> set[str]:
        """Return the ids of the steps that no worker has fetched yet.

        Raises:
            RedisError: Redis is away.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_KEYS:
                pipeline.lrange(key, 0, -1)
            messages = chain.from_iterable(pipeline.execute())
        return set(filter(None, map(_step_id, messages)))

    def length(self) -> int:
        """Return how many steps no worker has fetched yet.

        Raises:
            RedisError: Redis is away.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_KEYS:
                pipeline.llen(key)
            return sum(pipeline.execute())

    def unreadable(self) -> int:
        """Return how many of the lines that were set aside are kept.

        Raises:
            RedisError: Redis is away.
        """
        return self._client.llen(UNREADABLE)

    def require_writes(self) -> None:
        """Write something, as whoever queues a step has to.

        Raises:
            RedisError: Redis is away, or refuses: it is a replica, is full, or can't save.
        """
        self._client.set("headstart:probe", 1, px=1000)

    def sign_in(self, worker: str, seconds: float) -> None:
        """Say that a worker lives; unless it says so again, that holds for so many seconds.

        Raises:
            RedisError: Redis is away.
        """
        self._client.set(f"{WORKER_KEY}{worker}", 1, px=max(1, round(seconds * 1000)))

    def workers(self) -> list[str]:
        """Return the workers that live.

        Raises:
            RedisError: Redis is away.
        """
        keys = self._client.scan_iter(f"{WORKER_KEY}*", count=1000)
        return sorted(key.removeprefix(WORKER_KEY) for key in keys)

    def claim(self, seconds: float) -> bool:
        """Tell whether this process is the first to ask in so many seconds.

        Raises:
            RedisError: Redis is away.
        """
        taken = self._client.set("headstart:sweep", 1, nx=True, px=max(1, round(seconds * 1000)))
        return bool(taken)


def _step_id(message: str | bytes) -> str | None:
    """Return the id of the step that a line of the queue is; None for one that is no step."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
