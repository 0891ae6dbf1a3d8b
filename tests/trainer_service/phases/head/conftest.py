"""A training whose head is to be trained, in a store of its own and without a Redis."""

from contextlib import ExitStack

import pytest
from threadpoolctl import threadpool_limits

from tests.support.trainer.builders import new_record
from trainer_service.inline import InlineQueue
from trainer_service.phases.head.regression import design
from trainer_service.phases.work import Work, Worker
from trainer_service.queue.steps import FINISH, Step
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """On a busy machine, threads that wait for each other make small products far slower."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(autouse=True)
def _nothing_is_remembered():
    """Each test counts its own work, as a worker that has just started."""
    design._known.clear()


@pytest.fixture
def work_on(tmp_path):
    """Return the step that trains the head of a new training with these fields."""
    settings = TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0", threads=1)
    stores = Stores.open(settings)
    worker = Worker(settings, stores, ProgressBoard(stores.events), InlineQueue())
    with ExitStack() as leases:

        def work(**fields):
            record = new_record(State.HEAD, **fields)
            stores.trainings.create(record)
            held = leases.enter_context(stores.trainings.lease(record.id))
            return Work(worker, Step(FINISH, (record.id,)), record, held)

        yield work
