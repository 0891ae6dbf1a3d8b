"""Clients that wait for the end of a training: many at once, and some that leave."""

import asyncio
from collections import Counter

import pytest

from tests.support.trainer.builders import new_record
from trainer_service.errors import RecordCorrupt
from trainer_service.service import endings as endings_module
from trainer_service.service.endings import Endings, first
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.record_store import RECORD_FILE
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores


@pytest.fixture(autouse=True)
def _looked_at_all_the_time(monkeypatch):
    monkeypatch.setattr(endings_module, "POLL_INTERVAL", 0.001)


@pytest.fixture
def trainings(tmp_path):
    return Stores.open(TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")).trainings


@pytest.fixture
def record(trainings):
    record = new_record()
    trainings.create(record)
    return record


def enter(trainings, record, state):
    trainings.update(record.id, lambda current: current.enter(state))


async def waiting(endings, record, number):
    """Return tasks that wait, once each has begun to."""
    tasks = [asyncio.create_task(endings.wait(record.id)) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


def test_a_thousand_waiters_cost_one_read_for_each_change(trainings, record, monkeypatch):
    others = Stores.open(TrainerSettings(store=trainings.root.parent))
    looked, read = Counter(), Counter()
    stamp, get = trainings.stamp, trainings.get

    def count_look(training_id):
        looked[training_id] += 1
        return stamp(training_id)

    def count_reading(training_id):
        read[training_id] += 1
        return get(training_id)

    async def story():
        tasks = await waiting(Endings(trainings), record, 1000)
        async with asyncio.timeout(30):
            while looked[record.id] < 5:  # noqa: ASYNC110 - what is awaited happens in a thread
                await asyncio.sleep(0.001)
        enter(others.trainings, record, State.CANCELLED)
        await asyncio.wait_for(asyncio.gather(*tasks), 30)

    monkeypatch.setattr(trainings, "stamp", count_look)
    monkeypatch.setattr(trainings, "get", count_reading)
    asyncio.run(story())
    assert read == {record.id: 2}


def test_nothing_is_polled_once_all_waiters_have_left(trainings, record):
    async def story():
        tasks = await waiting(Endings(trainings), record, 3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(story()) == set()


def test_a_new_waiter_is_not_affected_by_an_earlier_failure(trainings, record):
    file = trainings.directory(record.id) / RECORD_FILE
    sound = file.read_bytes()

    async def story():
        endings = Endings(trainings)
        file.write_bytes(b"{")
        [before] = await waiting(endings, record, 1)
        with pytest.raises(RecordCorrupt):
            await asyncio.wait_for(before, 30)
        file.write_bytes(sound)
        [after] = await waiting(endings, record, 1)
        enter(trainings, record, State.CANCELLED)
        await asyncio.wait_for(after, 30)

    asyncio.run(story())


def test_a_training_that_is_removed_is_waited_for_no_longer(trainings, record):
    async def story():
        [task] = await waiting(Endings(trainings), record, 1)
        trainings.delete(record.id)
        await asyncio.wait_for(task, 30)

    asyncio.run(story())


def test_the_first_reason_ends_the_waiting_and_what_it_raises_is_raised():
    async def fail():
        raise KeyError

    async def story():
        await first(3600, asyncio.sleep(0), asyncio.sleep(3600))
        await first(0.01, asyncio.sleep(3600))
        with pytest.raises(KeyError):
            await first(3600, asyncio.sleep(3600), fail())
        await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(story()) == set()
