"""Live progress, on a real Redis and without one."""

import time

import pytest

from trainer_service.progress import ProgressBoard, Ticker, connect
from trainer_service.schemas import State

pytestmark = pytest.mark.integration

ID = "20260101-000000-aaaaaa"


@pytest.fixture
def board(redis_url):
    client = connect(redis_url)
    client.flushall()
    return ProgressBoard(client)


def test_parts_add_up_and_repeating_one_changes_nothing(board):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 10, part="0")
    board.advance(ID, 5, part="1")
    board.advance(ID, 5, part="1")

    progress = board.read(ID, State.BOTTLENECK)
    assert (progress.phase, progress.done, progress.total) == ("bottleneck", 15, 100)


def test_speed_counts_from_the_first_report_and_gives_the_time_left(board):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 20)
    assert board.read(ID, State.BOTTLENECK).per_second is None
    time.sleep(0.2)
    board.advance(ID, 40)

    progress = board.read(ID, State.BOTTLENECK)
    assert 20 < progress.per_second <= 100
    assert progress.eta_seconds == pytest.approx(60 / progress.per_second, abs=0.1)


def test_a_new_phase_forgets_the_one_before(board):
    board.start(ID, State.BOTTLENECK, 100)
    board.advance(ID, 100)
    board.start(ID, State.HEAD, 50)

    assert board.read(ID, State.BOTTLENECK) is None
    assert board.read(ID, State.HEAD).done == 0


def test_a_ticker_skips_reports_but_never_the_last(board):
    board.start(ID, State.HEAD, 50)
    ticker = Ticker(board, ID)
    ticker(1)
    ticker(2)
    assert board.read(ID, State.HEAD).done == 1
    ticker(50, last=True)
    assert board.read(ID, State.HEAD).done == 50


def test_without_redis_there_is_no_news_and_no_error():
    board = ProgressBoard(connect("redis://127.0.0.1:1/0"))
    board.start(ID, State.HEAD, 50)
    board.advance(ID, 1)

    assert board.read(ID, State.HEAD) is None
