"""`python -m trainer_service` serves the trainer API."""

import sys

from fastapi import FastAPI

from shared.http.server.serving import serve
from shared.start import require_writable
from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings


def create(settings: TrainerSettings) -> FastAPI:
    require_writable(settings.store)
    return create_app(settings)


if __name__ == "__main__":
    sys.exit(serve("trainer", TrainerSettings, create))
