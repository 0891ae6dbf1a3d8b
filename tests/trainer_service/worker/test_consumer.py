"""How long a worker waits before it tries a Redis again that refuses."""

import pytest
from redis.exceptions import ReadOnlyError
from structlog.testing import capture_logs

from trainer_service.worker import consumer
from trainer_service.worker.consumer import LONGEST_SECONDS, WELL_SECONDS, PatientConsumer


@pytest.fixture
def pauses(monkeypatch):
    """What a consumer waited, on a clock that moves by nothing else."""
    waited = []
    now = 1_000_000.0

    def sleep(seconds):
        nonlocal now
        now += seconds
        waited.append(seconds)

    def pass_time(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(consumer, "_sleep", sleep)
    monkeypatch.setattr(consumer.time, "monotonic", lambda: now)
    return waited, pass_time


def test_each_failed_attempt_doubles_the_wait(pauses):
    waited, pass_time = pauses
    patient = object.__new__(PatientConsumer)
    with capture_logs() as logs:
        for _ in range(9):
            patient.on_connection_error_before_connected(ReadOnlyError("a replica"))
            pass_time(2)
    assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30, LONGEST_SECONDS]
    assert [line["reason"] for line in logs] == ["Redis refuses: a replica"]

    pass_time(WELL_SECONDS)
    with capture_logs() as logs:
        patient.on_connection_error_before_connected(ReadOnlyError("a replica"))
    assert (waited[-1], len(logs)) == (0.5, 1)
