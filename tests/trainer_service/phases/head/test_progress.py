"""What is told of a head while it is trained, and how it is stopped or cancelled."""

import math
from functools import partial

import pytest

from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.progress import HeadProgress
from trainer_service.phases.head.regression.search import PathStep
from trainer_service.store.records.training_record import State

VALUES = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"), 0.5)
STEP = PathStep("late", 0.25, loss=0.1, accuracy=0.9, val_loss=0.3, val_accuracy=0.8)


def ask(work, **changes):
    def change(record):
        for name, value in changes.items():
            setattr(record, name, value)

    work.worker.stores.trainings.ask(work.record.id, change)


def told(work, kind):
    events = work.worker.stores.events.read(work.record.id)
    return [event for event in events if event.type == kind]


def where(work):
    progress = work.worker.board.read(work.record.id, State.HEAD)
    return progress.done, progress.total


@pytest.mark.parametrize("way", ["epoch", "attempt"])
def test_every_step_is_told_and_counted(work_on, way):
    work = work_on()
    with HeadProgress(work, 40) as progress:
        assert where(work) == (0, 40)
        for number in range(1, 41):
            if way == "epoch":
                assert not progress.epoch(number, VALUES)
            else:
                assert not progress.attempt(STEP)
        assert where(work) == (40, 40)

    numbers = {"epoch": ("epoch", "epochs"), "attempt": ("attempt", "attempts")}[way]
    events = told(work, "epoch" if way == "epoch" else "strength")
    counted = [tuple(getattr(event, name) for name in numbers) for event in events]
    assert counted == [(number, 40) for number in range(1, 41)]


@pytest.mark.parametrize("way", ["epoch", "attempt"])
def test_steps_that_end_early_are_complete(work_on, way):
    work = work_on()
    with HeadProgress(work, 40) as progress:
        for number in range(1, 18):
            progress.epoch(number, VALUES) if way == "epoch" else progress.attempt(STEP)

    assert where(work) == (17, 17)
    last = told(work, "progress")[-1]
    assert (last.done, last.total) == (17, 17)


def test_steps_that_fail_are_not_complete(work_on):
    work = work_on()

    def fail():
        with HeadProgress(work, 40) as progress:
            progress.attempt(STEP)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert where(work) == (1, 40)


def test_an_attempt_is_told_as_it_went(work_on):
    work = work_on()
    with HeadProgress(work, 1) as progress:
        progress.attempt(STEP)

    (event,) = told(work, "strength")
    assert (event.taps, event.strength) == ("late", 0.25)
    assert (event.loss, event.accuracy, event.val_loss, event.val_accuracy) == (0.1, 0.9, 0.3, 0.8)


def test_what_is_no_number_is_told_as_none(work_on):
    work = work_on()
    with HeadProgress(work, 1) as progress:
        progress.epoch(1, VALUES | {"loss": math.nan, "val_loss": math.inf})

    (event,) = told(work, "epoch")
    assert (event.loss, event.val_loss, event.accuracy) == (None, None, 0.5)


@pytest.mark.parametrize("way", ["epoch", "attempt"])
def test_a_client_that_asks_to_stop_gets_the_steps_up_to_there(work_on, way):
    work = work_on()
    ask(work, stop_after=3)
    work.check_cancelled.now()
    work.check_cancelled.now()
    with HeadProgress(work, 9) as progress:
        step = partial(progress.epoch, values=VALUES) if way == "epoch" else None
        stops = [step(n) if step else progress.attempt(STEP) for n in range(1, 5)]

    assert stops == [False, False, True, True]


def test_cancelled_it_ends_and_has_told_what_was_done(work_on):
    work = work_on()
    with HeadProgress(work, 9) as progress:
        for number in range(1, 4):
            progress.epoch(number, VALUES)
        ask(work, cancel_requested=True)
        work.check_cancelled._next = 0
        with pytest.raises(TrainingCancelled):
            progress.epoch(4, VALUES)

    assert [event.epoch for event in told(work, "epoch")] == [1, 2, 3]
