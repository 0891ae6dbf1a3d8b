"""Puts tasks on the queue."""

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from shared.errors import Unavailable


class TaskQueue:
    """Submits tasks by name, so that whoever submits need not import what the tasks import."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def prepare(self, training_id: str) -> None:
        self._send("training.prepare", training_id)

    def extract_shard(self, training_id: str, shard: int) -> None:
        self._send("training.extract_shard", training_id, shard)

    def finish(self, training_id: str) -> None:
        self._send("training.finish", training_id)

    def read_dataset(self, dataset_id: str) -> None:
        self._send("dataset.read", dataset_id)

    def _send(self, task: str, *arguments: str | int) -> None:
        try:
            self._app.send_task(task, args=arguments, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            raise Unavailable(f"Redis, which holds the queue, can't be reached: {error}") from error
