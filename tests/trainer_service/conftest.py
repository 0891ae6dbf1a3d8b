"""What the tests of the trainer service may ask for."""

import pytest

from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import trainer_settings
from trainer_service.store.events.event_log import connect


@pytest.fixture
def settings(tmp_path, redis_url):
    connect(redis_url).flushall()
    return trainer_settings(tmp_path, redis_url, max_upload_bytes=100_000)


@pytest.fixture
def call(settings):
    """Send one request to the API and return its answer."""
    return caller(settings)
