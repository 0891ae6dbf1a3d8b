"""Reads the queue and the list of workers directly from Redis."""

import json
from itertools import chain

import redis

from trainer_service.queue.steps import PRIORITIES

#: The number grows with each release whose steps or records earlier workers can't handle. Those
#: workers keep to their own queue. The search for lost steps moves what is left on it to this one.
QUEUE = "trainings-2"
#: What Celery's Redis transport puts between the name of the queue and a priority.
SEPARATOR = "\x06\x16"
#: The Redis lists that hold the queue, one for each priority.
QUEUE_KEYS = tuple(f"{QUEUE}{SEPARATOR}{level}" if level else QUEUE for level in PRIORITIES)

#: The Redis list of messages that were set aside as they are not steps, newest first.
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

#: Prefix of a key that exists while the worker of this queue with this name is alive.
WORKER_KEY = f"headstart:{QUEUE}:worker:"

#: The Redis key with the id of the store whose workers take the steps; it expires without them.
STORE_KEY = f"headstart:{QUEUE}:store"


class ForeignQueue(redis.ConnectionError):
    """The steps in this Redis are those of another store."""

    def __init__(self) -> None:
        super().__init__(
            "HEADSTART_REDIS_URL: the workers of another store use this Redis. Expected a Redis, "
            "or a database of one, such as redis://127.0.0.1:6379/1, for each store."
        )


class QueueView:
    """The queue as Celery's Redis transport keeps it, in lists of JSON messages, and the workers.

    Args:
        client: a client of the Redis that holds the queue.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def steps(self) -> set[str]:
        """Return the ids of the steps that no worker has fetched yet.

        Raises:
            RedisError: Redis does not answer.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_KEYS:
                pipeline.lrange(key, 0, -1)
            messages = chain.from_iterable(pipeline.execute())
        return set(filter(None, map(_step_id, messages)))

    def length(self) -> int:
        """Return how many steps no worker has fetched yet.

        Raises:
            RedisError: Redis does not answer.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_KEYS:
                pipeline.llen(key)
            return sum(pipeline.execute())

    def unreadable(self) -> int:
        """Return how many messages that were set aside are kept.

        Raises:
            RedisError: Redis does not answer.
        """
        return self._client.llen(UNREADABLE)

    def foreign_keys(self) -> dict[str, str]:
        """Return the keys of the queue that hold something else, with the type of that.

        Raises:
            RedisError: Redis does not answer.
        """
        with self._client.pipeline() as pipeline:
            for key in QUEUE_TYPES:
                pipeline.type(key)
            found = zip(QUEUE_TYPES.items(), pipeline.execute(), strict=True)
        return {key: type_ for (key, expected), type_ in found if type_ not in {expected, "none"}}

    def require_writes(self) -> None:
        """Check that Redis accepts writes, as queueing a step needs.

        Raises:
            RedisError: Redis does not answer, or refuses: it is a replica, is out of memory, or
                can't save to its disk.
        """
        self._client.set("headstart:probe", 1, px=1000)

    def require_own(self, store: str | None) -> None:
        """Check that no worker of another store takes the steps.

        Args:
            store: the id of the store; None if it is not known, so that nothing can be said.

        Raises:
            ForeignQueue: one does.
            RedisError: Redis does not answer.
        """
        if store is not None and self._client.get(STORE_KEY) not in {None, store}:
            raise ForeignQueue

    def own(self, store: str, seconds: float) -> None:
        """Keep the workers of other stores from taking the steps for the next `seconds`.

        Args:
            store: the id of the store.
            seconds: for how long.

        Raises:
            ForeignQueue: the steps are those of another store.
            RedisError: Redis does not answer, or refuses.
        """
        milliseconds = max(1, round(seconds * 1000))
        if not self._client.set(STORE_KEY, store, nx=True, px=milliseconds):
            self.require_own(store)
            self._client.pexpire(STORE_KEY, milliseconds)

    def sign_in(self, worker: str, seconds: float) -> None:
        """Register a worker as alive for the next `seconds`.

        Raises:
            RedisError: Redis does not answer, or refuses.
        """
        self._client.set(f"{WORKER_KEY}{worker}", 1, px=max(1, round(seconds * 1000)))

    def workers(self) -> list[str]:
        """Return the names of the workers that are alive, sorted.

        Raises:
            RedisError: Redis does not answer.
        """
        keys = self._client.scan_iter(f"{WORKER_KEY}*", count=1000)
        return sorted(key.removeprefix(WORKER_KEY) for key in keys)

    def claim(self, seconds: float) -> bool:
        """Return whether this process may submit lost steps; one process may, every `seconds`.

        Raises:
            RedisError: Redis does not answer, or refuses.
        """
        taken = self._client.set(
            "headstart:lost-steps", 1, nx=True, px=max(1, round(seconds * 1000))
        )
        return bool(taken)


def _step_id(message: str | bytes) -> str | None:
    """Return the id of the step in a message of the queue; None if it is not a step."""
    try:
        return str(json.loads(message)["headers"]["id"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
