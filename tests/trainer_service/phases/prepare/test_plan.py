"""What is planned of a training, and what is refused before anything is computed."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from trainer_service import training
from trainer_service.store.records.training_record import State

#: 200 images of three features, each of two bytes.
NEEDED = 200 * 3 * 2

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


@pytest.fixture
def left(monkeypatch):
    def left(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

    return left


def warnings(computing):
    events = computing.worker.stores.events.read(computing.id)
    return [one.detail for one in events if one.type == "warning" and one.code == "little_room"]


def test_features_that_the_disk_can_not_hold_are_refused_before_any_is_computed(
    planned, computing, left
):
    left(NEEDED - 1)
    record = planned(2)

    assert record.state == State.FAILED
    assert record.error.transient
    place = computing.settings.store / "features"
    assert (
        f"200 rows of 3 features take 1 MB. Expected that much room in {place}. Received: 1 MB"
        in (record.error.detail)
    )
    assert computing.shards.count() is None


def test_features_that_leave_little_of_the_disk_are_warned_of_once(planned, computing, left):
    left(NEEDED)
    assert planned(2).state == State.BOTTLENECK
    planned(2)

    [said] = warnings(computing)
    assert said.startswith("200 rows of 3 features may take 1 MB")


def test_what_fine_tuning_learns_from_is_warned_of_beforehand(planned, computing, left):
    """It is looked at once more, exactly, when it is known what is stored already."""
    left(100 * NEEDED)
    planned(2)
    assert warnings(computing) == []

    def tuned(record):
        record.request.tune = "tail"

    computing.worker.stores.trainings.update(computing.id, tuned)
    assert planned(2).state == State.BOTTLENECK
    [said] = warnings(computing)
    assert "and what fine-tuning learns from" in said


def test_features_that_are_stored_need_no_room(planned, computing, left):
    planned(2)
    computing.compute()
    left(0)

    assert planned(2).state == State.BOTTLENECK
