"""Brief locks between real processes."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from shared.files import locked_briefly
from tests.support.clock import Clock
from tests.support.inputs.odd_files import make_socket

SPAWN = multiprocessing.get_context("spawn")


def _hold(path, held):
    with locked_briefly(path):
        held.put(True)
        time.sleep(60)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def holder(path):
    held = SPAWN.Queue()
    process = SPAWN.Process(target=_hold, args=(path, held))
    process.start()
    assert held.get(timeout=60) is True
    yield process
    process.kill()
    process.join(60)


def seconds_to_get(path, patience):
    started = time.monotonic()
    with locked_briefly(path, patience):
        return time.monotonic() - started


@pytest.mark.process
def test_a_killed_holder_is_followed_at_once(path, holder):
    holder.kill()
    assert seconds_to_get(path, patience=60) < 30


@pytest.mark.process
def test_a_frozen_holder_is_waited_for_and_then_followed(path, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    assert 0.5 <= seconds_to_get(path, patience=0.5) < 30
    assert seconds_to_get(path, patience=60) < 30


def test_only_one_process_at_a_time_holds_the_lock(path):
    """Processes that have waited long see that the holder changes, and do not break the lock."""
    clock = Clock()
    inside, most, turns = [], [], []

    def work():
        for _ in range(6):
            with locked_briefly(path, patience=10, clock=clock):
                inside.append(1)
                most.append(len(inside))
                clock.now += 9
                time.sleep(0.012)  # a tick of the clock of the files, by which holders are told
                inside.pop()
            turns.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(turns) == 24
    assert max(most) == 1


def _pipe(path):
    os.mkfifo(path)


def _folder(path):
    path.mkdir()


def _loop(path):
    path.symlink_to(path.name)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("put", [_pipe, _folder, _loop, make_socket])
def test_anything_in_place_of_the_lock_file_is_replaced(path, put):
    put(path)
    assert seconds_to_get(path, patience=60) < 30
    assert seconds_to_get(path, patience=60) < 30
