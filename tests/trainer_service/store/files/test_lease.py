"""Leases between real processes: killed ones, frozen ones and ones that only check."""

import fcntl
import os
import resource
import signal
import threading

import pytest

from shared import files
from tests.support.clock import Clock
from tests.support.processes.predictor_process import wait_for
from tests.support.trainer.lease_holder import SPAWN, Holder
from trainer_service.store.files import lease as lease_module
from trainer_service.store.files.lease import (
    MAX_DEATHS,
    LeaseWatch,
    WorkersDied,
    lease,
    require_survivable,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "work.lease"


@pytest.fixture
def holder(path):
    holder = Holder(path)
    yield holder
    holder.process.kill()
    holder.process.join(60)


def test_a_lease_has_one_holder_and_leaves_nothing_behind(path):
    with lease(path) as mine:
        assert mine.deaths == 0
        with lease(path) as second:
            assert second is None
        mine.raise_if_lost()
    assert not path.exists()
    with lease(path) as again:
        assert again is not None


@pytest.mark.process
def test_it_is_free_as_soon_as_its_holder_is_killed(path, holder):
    watch = LeaseWatch(seconds=1000)
    assert watch.held(path)
    holder.send(signal.SIGKILL)
    holder.process.join(60)

    assert not watch.held(path)
    with lease(path) as mine:
        assert mine.deaths == 1


@pytest.mark.process
def test_a_holder_that_beats_keeps_it_however_long_it_takes(path, holder):
    clock = Clock()
    watch = LeaseWatch(seconds=20, clock=clock)
    for _ in range(3):
        beat = path.stat().st_mtime_ns
        assert watch.held(path)
        wait_for(lambda beat=beat: path.stat().st_mtime_ns != beat, "a beat")
        clock.now += 1000


@pytest.mark.process
def test_a_frozen_holder_loses_it_and_notices(path, holder):
    clock = Clock()
    watch = LeaseWatch(seconds=20, clock=clock)
    holder.send(signal.SIGSTOP)
    assert watch.held(path)
    clock.now = 19
    assert watch.held(path)
    with lease(path) as early:
        assert early is None
    clock.now = 20
    assert not watch.held(path)

    with lease(path) as mine:
        assert mine.deaths == 1
        holder.send(signal.SIGCONT)
        holder.end.set()
        assert holder.lost.get(timeout=60) is True
        holder.process.join(60)
        mine.raise_if_lost()
        assert watch.held(path)


def test_work_that_kills_every_worker_is_given_up(path):
    path.write_text(f'{{"host": "h", "pid": 1, "deaths": {MAX_DEATHS - 2}}}')
    with lease(path) as mine:
        require_survivable(mine)
    path.write_text(f'{{"host": "h", "pid": 1, "deaths": {MAX_DEATHS - 1}}}')
    with lease(path) as mine, pytest.raises(WorkersDied, match=f"^{MAX_DEATHS} worker processes"):
        require_survivable(mine)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"deaths": null}', "null"])
def test_a_lease_that_was_being_written_is_a_lease(path, content):
    path.write_text(content)
    with lease(path) as mine:
        assert mine.deaths == 0


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 1_000_000])
def test_a_file_that_is_no_lease_counts_as_free(path, content):
    path.write_bytes(content)
    assert not LeaseWatch(seconds=20).held(path)
    with lease(path) as mine:
        assert mine.deaths == 0
    assert not path.exists()


def _directory(path):
    path.mkdir()
    (path / "kept").touch()


def _closed(path):
    path.touch(mode=0o000)


@pytest.mark.parametrize("put", [_directory, _closed, os.mkfifo])
def test_what_can_not_be_opened_counts_as_held_until_it_did_not_move_for_long(tmp_path, path, put):
    if put is _closed and os.geteuid() == 0:
        pytest.skip("root opens everything")
    put(path)
    clock = Clock()
    watch = LeaseWatch(seconds=20, clock=clock)
    assert watch.held(path)
    with lease(path) as early:
        assert early is None
    clock.now = 19
    assert watch.held(path)
    clock.now = 20
    assert not watch.held(path)

    with lease(path) as mine:
        assert mine.deaths == 0
    assert len(list(tmp_path.rglob("kept"))) == (put is _directory)


def test_a_lease_that_can_not_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), lease(tmp_path / "file" / "work.lease"):
        pass


def test_checking_a_lease_takes_it_from_nobody(path, monkeypatch):
    """A process that wants the lease while another checks it tries again."""
    path.touch()
    looking, refused = threading.Event(), threading.Event()
    looker = threading.Thread(target=LeaseWatch(seconds=1000).held, args=(path,))

    def try_lock(file, kind=fcntl.LOCK_EX):
        locked = files.try_lock(file, kind)
        if threading.current_thread() is looker:
            looking.set()
            refused.wait(60)
        elif not locked:
            refused.set()
        return locked

    monkeypatch.setattr(lease_module, "try_lock", try_lock)
    looker.start()
    assert looking.wait(60)
    with lease(path) as mine:
        assert refused.is_set()
        assert mine is not None
    looker.join()


def test_a_lease_that_was_never_held_is_free(path):
    assert not LeaseWatch(seconds=20).held(path)


def _work_on_a_full_disk(path, outcome):
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with lease(path) as mine:
        outcome.put(mine is not None and path.exists())
    outcome.put(not path.exists())


@pytest.mark.process
def test_a_full_disk_costs_nobody_a_lease(path):
    outcome = SPAWN.Queue()
    process = SPAWN.Process(target=_work_on_a_full_disk, args=(path, outcome))
    process.start()
    assert outcome.get(timeout=60)
    assert outcome.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
