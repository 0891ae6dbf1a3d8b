"""Exits with 0 while this container's worker listens to the broker.

`celery inspect ping` asks the same of the worker at several times the CPU time. That the process
lives need not be asked: the container ends with it.
"""

import sys
from typing import Any

import redis

from trainer_service.settings import TrainerSettings

SECONDS = 3


def host(address: str) -> str:
    return address.rpartition(":")[0]


def main() -> str | None:
    """Return what is wrong."""
    url = TrainerSettings().redis_url
    client: Any = redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    try:
        here = host(client.client_info()["addr"])
        connections = client.client_list()
    except redis.RedisError as error:
        return f"Redis can't be reached: {error}"
    # Every Celery worker subscribes to the channel of remote commands once it is up.
    subscribed = (c for c in connections if int(c["sub"]) + int(c["psub"]) > 0)
    if any(host(connection["addr"]) == here for connection in subscribed):
        return None
    return "Redis is there, but this worker is not connected to it."


if __name__ == "__main__":
    sys.exit(main())
