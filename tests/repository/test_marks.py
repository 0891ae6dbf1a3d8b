"""Tests without a mark start no process, and neither do their fixtures."""

import multiprocessing
import subprocess

import pytest


@pytest.fixture(scope="module")
def refused():
    """What came of starting processes in a fixture of a module."""
    told = []
    for start in (lambda: subprocess.Popen(["true"]), multiprocessing.Process(target=print).start):
        with pytest.raises(pytest.fail.Exception) as caught:
            start()
        told.append(str(caught.value))
    return told


def test_what_starts_a_process_is_told_to_be_marked(refused):
    assert refused == ["this test starts a process: mark it @pytest.mark.process"] * 2


@pytest.mark.process
def test_what_is_marked_may_start_one():
    assert subprocess.run(["true"], check=True).returncode == 0
