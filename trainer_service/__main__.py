"""`python -m trainer_service` serves the trainer API."""

import sys

from shared.serving import serve
from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings

if __name__ == "__main__":
    sys.exit(serve("trainer", TrainerSettings, create_app))
