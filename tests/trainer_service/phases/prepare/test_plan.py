"""What is planned of a training, and what is refused before anything is computed."""

from dataclasses import replace

import pytest

from trainer_service import training
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration


@pytest.fixture
def planned(computing):
    """Plan a training of two labels on a worker with a limit; return its record."""

    def plan(most):
        computing.shards.clear()
        settings = computing.settings.model_copy(update={"max_labels": most})
        training.prepare(replace(computing.worker, settings=settings), computing.id)
        return computing.record

    return plan


def test_as_many_labels_as_allowed_are_planned(planned):
    assert planned(2).state == State.BOTTLENECK


def test_more_labels_than_allowed_are_refused_with_the_setting(planned):
    """Memory and report grow with the square of their number."""
    record = planned(1)

    assert record.state == State.FAILED
    assert "HEADSTART_MAX_LABELS allows a training 1 labels. Received: 2." in record.error.detail
    assert not record.error.transient
