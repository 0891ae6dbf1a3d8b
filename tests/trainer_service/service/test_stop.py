"""What a request to stop ends: the head's training, or the tuning that follows it."""

from types import SimpleNamespace

import pytest

from tests.support.trainer.builders import new_record
from trainer_service.service.trainings import stop_training
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores


@pytest.fixture
def trainer(tmp_path):
    settings = TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")
    stores = Stores.open(settings)
    return SimpleNamespace(stores=stores, board=ProgressBoard(stores.events))


def stopped(trainer, *states):
    record = new_record(states[0], tune="tail")
    trainer.stores.trainings.create(record)
    for state in states[1:]:
        trainer.stores.trainings.update(record.id, lambda record, state=state: record.enter(state))
    stop_training(trainer, record.id)
    return trainer.stores.trainings.get(record.id)


def test_in_the_head_phase_the_head_is_stopped(trainer):
    record = stopped(trainer, State.HEAD)

    assert (record.stop_after, record.stop_tuning) == (1, False)


@pytest.mark.parametrize("later", [[], [State.EVALUATING], [State.HEAD]])
def test_once_tuning_has_begun_only_that_is_stopped(trainer, later):
    """Also if a fault made the head be trained again: it is to be the same head."""
    record = stopped(trainer, State.HEAD, State.TUNING, *later)

    assert (record.stop_after, record.stop_tuning) == (None, True)
