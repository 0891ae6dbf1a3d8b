"""What the tests of the trainer service may ask for."""

import pytest

from tests.trainer_service.api_client import caller
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def settings(tmp_path, redis_url):
    connect(redis_url).flushall()
    (tmp_path / "datasets" / "pets" / "cat").mkdir(parents=True)
    return TrainerSettings(
        store=tmp_path / "store",
        weights=tmp_path / "weights",
        weights_url=NOWHERE,
        datasets=tmp_path / "datasets",
        redis_url=redis_url,
        max_upload_bytes=100_000,
    )


@pytest.fixture
def call(settings):
    """Send one request to the API and return its answer."""
    return caller(settings)
