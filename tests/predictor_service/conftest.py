from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from predictor_service.settings import PredictorSettings
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.predictor_process import PredictorProcess, running_predictor


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def settings(store):
    return PredictorSettings(store=store, engine="openvino", max_batch=4, poll_seconds=0.05)


@pytest.fixture
def start_predictor(store, tmp_path) -> Iterator[Callable[..., PredictorProcess]]:
    """Start real predictors that end with the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> PredictorProcess:
            context = running_predictor(store, tmp_path / "predictor.log", **settings)
            return stack.enter_context(context)

        yield start


@pytest.fixture(scope="module")
def shared_predictor(tmp_path_factory) -> Iterator[PredictorProcess]:
    """One predictor with one model and small limits, for tests that change nothing in it."""
    directory = tmp_path_factory.mktemp("shared")
    publish_tiny_model(directory / "store")
    limits = {"max_image_bytes": 20_000, "max_request_bytes": 100_000, "max_files": 4}
    with running_predictor(directory / "store", directory / "log", **limits) as predictor:
        predictor.wait_until_ready()
        yield predictor
