"""`python -m predictor_service` serves the predictor."""

import sys

from predictor_service.app import create_app
from predictor_service.memory import keep_for_good, steady_malloc
from predictor_service.settings import PredictorSettings
from shared.serving import serve

if __name__ == "__main__":
    steady_malloc()
    keep_for_good()
    sys.exit(serve("predictor", PredictorSettings, create_app))
