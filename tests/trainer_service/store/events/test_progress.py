"""Live progress, in the store and as events."""

import errno
from pathlib import Path

import pytest

from shared.identifiers import new_id
from tests.support.clock import Clock
from trainer_service.store.events.event_log import EventLog, connect
from trainer_service.store.events.events import EpochEvent
from trainer_service.store.events.progress import (
    EVENT_INTERVAL,
    REPORT_INTERVAL,
    Counts,
    HeadReport,
    ProgressBoard,
    Ticker,
)
from trainer_service.store.records.training_record import State

ID = new_id()
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def events(tmp_path):
    """A log without a Redis: it must do as well."""
    (tmp_path / ID).mkdir()
    return EventLog(tmp_path, connect(NOWHERE))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(events, clock):
    return ProgressBoard(events, clock)


def test_parts_add_up_and_repeating_one_changes_nothing(board):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 10, part="0")
    board.advance(ID, 5, part="1")
    board.advance(ID, 5, part="1")

    progress = board.read(ID, State.BOTTLENECK)
    assert (progress.phase, progress.done, progress.total) == ("bottleneck", 15, 100)


def test_a_total_that_was_an_estimate_can_be_corrected(board):
    board.start(ID, State.PREPARING, 1)
    board.advance(ID, 40, total=50)
    board.advance(ID, 45)

    progress = board.read(ID, State.PREPARING)
    assert (progress.done, progress.total) == (45, 50)


def test_speed_counts_from_the_first_report_and_gives_the_time_left(board, clock):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 20)
    assert board.read(ID, State.BOTTLENECK).per_second is None
    clock.now += 4
    board.advance(ID, 40)

    progress = board.read(ID, State.BOTTLENECK)
    assert (progress.per_second, progress.eta_seconds) == (5, 12)


def test_a_new_phase_forgets_the_one_before(board):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 100)
    board.start(ID, State.HEAD, 50)

    assert board.read(ID, State.BOTTLENECK) is None
    assert board.read(ID, State.HEAD).done == 0


def test_a_ticker_skips_reports_but_never_the_last(board, clock):
    board.start(ID, State.HEAD, 50)
    ticker = Ticker(board, ID, clock=clock)
    ticker(1)
    ticker(2)
    assert board.read(ID, State.HEAD).done == 1
    clock.now += REPORT_INTERVAL
    ticker(3)
    assert board.read(ID, State.HEAD).done == 3
    ticker(50, last=True)
    assert board.read(ID, State.HEAD).done == 50


def test_progress_without_a_phase_is_none(board, events):
    board.advance(ID, 1)

    assert board.read(ID, State.HEAD) is None
    assert events.read(ID) == []


def test_events_of_progress_are_few_and_the_last_one_is_among_them(board, events, clock):
    board.start(ID, State.BOTTLENECK, 30)
    for done in range(1, 31):
        clock.now += EVENT_INTERVAL / 8
        board.advance(ID, done)

    assert [event.done for event in events.read(ID)] == [0, 8, 16, 24, 30]


def test_a_phase_that_takes_long_tells_at_longer_intervals():
    counts = Counts(phase=State.BOTTLENECK, total=1000, started_at=0)
    intervals = []
    for start in (0, 300, 100_000):
        counts.told_at = start
        waited = next(tenth for tenth in range(100) if counts.due(start + tenth / 10))
        intervals.append(waited / 10)
    assert intervals == [0.5, 1.6, 5.0]


def test_a_clock_that_was_set_back_neither_silences_nor_hides_progress(board, events, clock):
    clock.now = 7200
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 20)
    for now, done in ((3600, 40), (3602, 60)):
        clock.now = now
        board.advance(ID, done)

    assert [event.done for event in events.read(ID)][-2:] == [40, 60]
    progress = board.read(ID, State.BOTTLENECK)
    assert (progress.per_second, progress.eta_seconds) == (10, 4)


def test_progress_that_can_not_be_read_is_none(board, events):
    board.start(ID, State.HEAD, 50)
    file = events.directory(ID) / "progress.json"
    file.write_text("[" * 5000)
    assert board.read(ID, State.HEAD) is None
    file.unlink()
    file.mkdir()
    assert board.read(ID, State.HEAD) is None
    board.advance(ID, 1)


@pytest.mark.parametrize("name", ["progress.json", "progress.tmp"])
def test_progress_that_can_not_be_written_keeps_no_training(board, events, name, caplog):
    (events.directory(ID) / name / "something").mkdir(parents=True)
    for phase in (State.BOTTLENECK, State.HEAD):
        board.start(ID, phase, 50)
        board.advance(ID, 50)

    assert board.read(ID, State.HEAD) is None
    assert [event.phase for event in events.read(ID)] == ["bottleneck", "head"]
    assert caplog.text.count("progress is not kept") == 1


def test_a_lock_that_is_refused_keeps_no_training(board, monkeypatch, caplog):
    def refuse(lock):
        raise PermissionError(errno.EACCES, "Permission denied", str(lock))

    monkeypatch.setattr("trainer_service.store.events.progress.locked_briefly", refuse)
    board.start(ID, State.BOTTLENECK, 50)
    board.advance(ID, 50)

    assert board.read(ID, State.BOTTLENECK) is None
    assert caplog.text.count("progress is not kept") == 1


def test_a_full_disk_keeps_no_training_from_its_progress(board, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    board.start(ID, State.BOTTLENECK, 50)
    board.advance(ID, 50)

    assert caplog.text.count("progress is not kept") == 1


def test_every_epoch_is_told_once(events, clock):
    report = HeadReport(events, ID, clock=clock)
    for epoch in range(1, 41):
        clock.now += REPORT_INTERVAL / 4
        values = dict.fromkeys(("loss", "accuracy", "val_accuracy"), epoch / 40)
        report(EpochEvent(epoch=epoch, epochs=40, val_loss=None, learning_rate=0.001, **values))
    report.flush()

    told = events.read(ID)
    assert [event.epoch for event in told] == list(range(1, 41))
    assert (told[3].accuracy, told[3].val_loss, told[3].epochs) == (0.1, None, 40)


def test_tuning_counts_views_and_then_what_is_trained_on(board, events):
    board.start(ID, State.TUNING, 100, "views")
    board.advance(ID, 100)
    board.start(ID, State.TUNING, 800, "training")

    assert (board.read(ID, State.TUNING).step, board.read(ID, State.TUNING).done) == ("training", 0)
    told = [(event.type, event.step, event.done, event.total) for event in events.read(ID)]
    assert told == [
        ("tune_progress", "views", 0, 100),
        ("tune_progress", "views", 100, 100),
        ("tune_progress", "training", 0, 800),
    ]
