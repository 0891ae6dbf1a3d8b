"""What is said of Redis when it refuses something."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from trainer_service.queue.task_queue import trouble


def test_the_reason_of_redis_is_said_without_the_commands_of_the_queue():
    error = ResponseError("command not allowed when used memory > 'maxmemory'.")
    Redis().pipeline().annotate_exception(error, 1, ["LLEN", "trainings"])
    assert "LLEN" in str(error)
    assert trouble(error) == "Redis refuses: command not allowed when used memory > 'maxmemory'."


@pytest.mark.parametrize("reason", ["", "a replica", "NOAUTH Authentication required."])
def test_other_reasons_are_said_as_they_are(reason):
    assert trouble(ResponseError(reason)) == f"Redis refuses: {reason}"
