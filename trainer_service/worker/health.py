"""`python -m trainer_service.worker.health`: checks whether a worker of this host is alive.

A worker takes no remote commands, so it can't be asked itself. Instead it registers with Redis
regularly, as long as its event loop runs and Redis accepts writes.
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
    """Return 0 if a worker of this host is registered as alive, else 1."""
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
