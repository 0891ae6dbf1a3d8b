"""Stores without Redis, which their logs do not need."""

import pytest

from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.stores import TrainingStore

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def log(tmp_path):
    return EventLog(tmp_path, connect(NO_REDIS))


@pytest.fixture
def trainings(tmp_path, log):
    return TrainingStore(tmp_path, log)
