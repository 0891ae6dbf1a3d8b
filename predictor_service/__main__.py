"""Starts the predictor: `python -m predictor_service`."""

import sys

from fastapi import FastAPI

from predictor_service.app import create_app
from predictor_service.inference.memory import keep_for_good, steady_malloc
from predictor_service.settings import PredictorSettings
from shared.http.server.serving import serve
from shared.start import require_no_file


def create(settings: PredictorSettings) -> FastAPI:
    """Return the application; end the process if the store is not a directory."""
    require_no_file(settings.store)
    return create_app(settings)


if __name__ == "__main__":
    steady_malloc()
    keep_for_good()
    sys.exit(serve("predictor", PredictorSettings, create))
