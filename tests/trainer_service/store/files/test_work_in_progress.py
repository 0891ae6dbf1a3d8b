"""Working directories of processes that live, were killed, or are on a host that has vanished."""

import fcntl
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from tests.support.clock import Clock
from trainer_service.store.files import work_in_progress
from trainer_service.store.files.lease import LeaseWatch, lease
from trainer_service.store.files.work_in_progress import remove_if_abandoned, working_directory

SPAWN = multiprocessing.get_context("spawn")


def _work(path, made, end, outcome):
    with working_directory(path) as directory:
        (directory / "half").write_bytes(b"half")
        made.put(True)
        end.wait(60)
        try:
            directory.rename(path.with_name("1"))
        except FileNotFoundError:
            outcome.put("gone")
        else:
            outcome.put("finished")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models/pets/.staging-1"


class Process:
    def __init__(self, path):
        made, self.end, self.outcome = SPAWN.Queue(), SPAWN.Event(), SPAWN.Queue()
        self.process = SPAWN.Process(target=_work, args=(path, made, self.end, self.outcome))
        self.process.start()
        assert made.get(timeout=60) is True

    def send(self, number):
        os.kill(self.process.pid, number)


@pytest.fixture
def process(path):
    process = Process(path)
    yield process
    process.process.kill()
    process.process.join(60)


def test_it_is_not_the_directory_that_is_locked(path):
    """File servers know nothing of the locks of directories."""
    with working_directory(path) as directory:
        descriptor = os.open(directory, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not remove_if_abandoned(directory, LeaseWatch(20))
        os.close(descriptor)


@pytest.mark.parametrize("finished", [False, True])
def test_nothing_is_left_beside_what_was_finished(path, finished):
    with working_directory(path) as directory:
        (directory / "file").write_bytes(b"")
        if finished:
            directory.rename(path.with_name("1"))

    left = [entry.relative_to(path.parent).as_posix() for entry in path.parent.rglob("*")]
    assert sorted(left) == (["1", "1/file"] if finished else [])


@pytest.mark.process
def test_what_a_killed_process_left_is_removed_at_once(path, process):
    watch = LeaseWatch(1000)
    assert not remove_if_abandoned(path, watch)
    process.send(signal.SIGKILL)
    process.process.join(60)

    assert remove_if_abandoned(path, watch)
    assert list(path.parent.iterdir()) == []
    assert not remove_if_abandoned(path, watch)


@pytest.mark.process
def test_work_without_a_heartbeat_is_removed_and_can_not_be_finished(path, process):
    clock = Clock()
    watch = LeaseWatch(20, clock)
    process.send(signal.SIGSTOP)
    assert not remove_if_abandoned(path, watch)
    clock.now = 19
    assert not remove_if_abandoned(path, watch)
    clock.now = 20
    assert remove_if_abandoned(path, watch)

    process.send(signal.SIGCONT)
    process.end.set()
    assert process.outcome.get(timeout=60) == "gone"
    process.process.join(60)
    assert list(path.parent.iterdir()) == []


def test_a_directory_without_a_lease_and_a_lease_without_a_directory_are_removed(path):
    path.mkdir(parents=True)
    (path / "half").write_bytes(b"half")
    lone = path.with_name(".staging-2")
    lone.with_name(".staging-2.lease").write_text("")

    for left in (path, lone):
        assert remove_if_abandoned(left, LeaseWatch(20))
    assert list(path.parent.iterdir()) == []


def test_what_can_not_be_removed_is_not_reported_as_removed_and_keeps_its_name(path, monkeypatch):
    monkeypatch.setattr(work_in_progress, "remove_tree", lambda _: None)
    path.mkdir(parents=True)

    assert not remove_if_abandoned(path, LeaseWatch(20))
    (left,) = path.parent.iterdir()
    assert not remove_if_abandoned(left, LeaseWatch(20))
    assert list(path.parent.iterdir()) == [left]


def test_a_check_while_the_directory_is_made_is_waited_for(path):
    path.parent.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        with lease(path.with_name(f"{path.name}.lease")) as looking:
            assert looking is not None
            making = pool.submit(_make, path)
            assert wait([making], 0.2).not_done
        assert making.result(60) == path


def test_an_existing_working_directory_is_not_reused(path, monkeypatch):
    monkeypatch.setattr(work_in_progress, "TRIES", 2)
    with working_directory(path), pytest.raises(FileExistsError):
        _make(path)


def _make(path):
    with working_directory(path) as directory:
        return directory


def test_a_file_that_is_no_working_directory_stays(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    assert not remove_if_abandoned(path, LeaseWatch(20))
    assert list(path.parent.iterdir()) == [path]
