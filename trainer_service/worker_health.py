"""`python -m trainer_service.worker_health`: asks the worker of this host through Redis."""

import socket
import sys

from trainer_service.celery_app import create_celery
from trainer_service.settings import TrainerSettings

PATIENCE_SECONDS = 10


def main() -> int:
    """Return 0 if the worker has answered, else 1."""
    worker = f"celery@{socket.gethostname()}"
    control = create_celery(TrainerSettings()).control
    answers = control.ping(destination=[worker], timeout=PATIENCE_SECONDS, limit=1)
    return 0 if answers else 1


if __name__ == "__main__":
    sys.exit(main())
