"""`python -m predictor_service` serves the predictor."""

import sys

from predictor_service.app import create_app
from predictor_service.memory import limit_arenas
from predictor_service.settings import PredictorSettings
from shared.serving import serve

if __name__ == "__main__":
    limit_arenas()
    sys.exit(serve("predictor", PredictorSettings, create_app))
