"""What lies on the queue, read from Redis itself."""

import json
from itertools import chain

import redis

from trainer_service.steps import PRIORITIES

QUEUE = "trainings"
#: Between the name of the queue and a priority: Celery's Redis transport has it so.
SEPARATOR = "\x06\x16"
#: The lists in Redis that Celery's transport makes of the queue, one for each priority.
QUEUE_KEYS = tuple(f"{QUEUE}{SEPARATOR}{level}" if level else QUEUE for level in PRIORITIES)

#: A list with the lines of the queue that were no steps, the newest first.
UNREADABLE = "headstart:unreadable"

#: The type of each key that the queue consists of, as Celery's Redis transport has them.
QUEUE_TYPES = {
    **dict.fromkeys(QUEUE_KEYS, "list"),
    f"_kombu.binding.{QUEUE}": "set",
    f"_kombu.binding_permanent.{QUEUE}": "set",
    "unacked": "hash",
    "unacked_index": "zset",
    UNREADABLE: "list",
}

#: With the name of a worker, for as long as it lives.
WORKER_KEY = "headstart:worker:"


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

    def foreign_keys(self) -> dict[str, str]:
        """Return the keys of the queue that hold something else, with the type of that.

        Raises:
            RedisError: Redis is away.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_TYPES:
                pipeline.type(key)
            found = zip(QUEUE_TYPES.items(), pipeline.execute(), strict=True)
        return {key: type_ for (key, expected), type_ in found if type_ not in {expected, "none"}}

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
        """Return whether this process is the first to ask in so many seconds.

        Raises:
            RedisError: Redis is away.
        """
        taken = self._client.set(
            "headstart:lost-steps", 1, nx=True, px=max(1, round(seconds * 1000))
        )
        return bool(taken)


def _step_id(message: str | bytes) -> str | None:
    """Return the id of the step that a line of the queue is; None for one that is no step."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
