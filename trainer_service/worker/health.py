"""`python -m trainer_service.worker.health`: tells whether the worker of this host lives.

Nobody can ask a worker itself, as that takes no commands; it signs in with Redis while its loop
turns and Redis takes what it writes.
"""

import socket
import sys

import redis

from shared.start import fail
from trainer_service.queue.task_queue import trouble
from trainer_service.queue.view import QueueView
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect


def main() -> int:
    """Return 0 if a worker of this host has signed in and that still holds, else 1."""
    try:
        workers = QueueView(connect(TrainerSettings().redis_url)).workers()
    except redis.RedisError as error:
        return fail(trouble(error))
    host = socket.gethostname()
    if not any(worker.rpartition(":")[0] == host for worker in workers):
        return fail(f"No worker of {host} has signed in.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
