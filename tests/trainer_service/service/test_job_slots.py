"""The limit on trainings and datasets that wait or run, over several processes on one store."""

import multiprocessing

import pytest

from shared.errors import Unavailable
from tests.support.trainer.builders import new_comparison_record, new_dataset_record, new_record
from trainer_service.service.job_slots import open_dataset_slot, open_training_slot
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.stores import Stores

SPAWN = multiprocessing.get_context("spawn")
PROCESSES, EACH, MOST = 3, 12, 7


def _create(directory, kind, start):
    """Create as many as are allowed, beginning when all others do; exit with their number."""
    stores = Stores.open(TrainerSettings(store=directory, redis_url="redis://127.0.0.1:1/0"))
    records, slot, new = {
        "training": (stores.trainings, open_training_slot, new_record),
        "dataset": (
            stores.datasets,
            open_dataset_slot,
            lambda: new_dataset_record(DatasetState.QUEUED, submitted=True),
        ),
    }[kind]
    start.wait(60)
    created = 0
    for _ in range(EACH):
        try:
            with slot(stores, MOST):
                records.create(new())
                created += 1
        except Unavailable:
            pass
    raise SystemExit(created)


@pytest.mark.process
@pytest.mark.parametrize("kind", ["training", "dataset"])
def test_processes_that_create_at_once_do_not_exceed_it(tmp_path, kind):
    start = SPAWN.Barrier(PROCESSES)
    processes = [
        SPAWN.Process(target=_create, args=(tmp_path, kind, start)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert sum(process.exitcode for process in processes) == MOST
    assert len(list(tmp_path.glob(f"{kind}s/*/record.json"))) == MOST


def test_a_comparison_counts_as_one_with_all_of_its_trainings(tmp_path):
    stores = Stores.open(TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    comparison = new_comparison_record()
    stores.comparisons.create(comparison)
    for _ in range(5):
        member = new_record()
        member.comparison = comparison.id
        stores.trainings.create(member)

    with open_training_slot(stores, 2):
        stores.trainings.create(new_record())
    with pytest.raises(Unavailable, match="allows 2 trainings and comparisons"):
        open_training_slot(stores, 2).__enter__()
