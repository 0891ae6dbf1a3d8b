"""Processes that die are started again; if the launcher dies, they end."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from launcher import guard, supervisor
from launcher.errors import LaunchError
from launcher.processes import Guard, Process
from launcher.supervisor import MOST_ENDS, Watched, supervise, supervised

ROOT = Path(__file__).parents[2]


@pytest.fixture
def guarded():
    with Guard() as guard:
        yield guard


@pytest.fixture
def start(tmp_path, guarded):
    """Return a function that starts a line of shell, as often as the test asks for."""
    running = []

    def started(line, name="predictor"):
        command = ["sh", "-c", line]
        process = Process(command, dict(os.environ), tmp_path / f"{name}.log", guarded)
        context = process.running()
        running.append(context)
        return context.__enter__()

    yield started
    for context in running:
        context.__exit__(None, None, None)


def until(condition, what):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.mark.process
def test_what_died_is_started_again_and_told_with_its_last_words(start, tmp_path, capsys):
    flag = tmp_path / "flag"
    process = start(
        f"test -e {flag} && exec sleep 60; touch {flag}; echo one; printf 'two\\033[2J'; exit 3"
    )
    watched = Watched(process)
    process.handle.wait()
    now = time.monotonic()
    for seconds in (0, 0.9, 1.1, 1.2):
        watched.check(now + seconds)

    assert process.how_it_ended() is None
    assert capsys.readouterr().err == (
        "predictor ended (exit status 3); it is restarted in 1 s. Its log ends with: two\\x1b[2J\n"
    )
    # The output of the previous process does not count.
    process.handle.kill()
    process.handle.wait()
    watched.check(now + 2)
    assert capsys.readouterr().err == (
        "predictor ended (SIGKILL); it is restarted in 2 s. Its log ends with: nothing\n"
    )
    assert process.log.read_text() == "one\ntwo\x1b[2J"


@pytest.mark.process
def test_waits_double_and_begin_anew_after_a_minute_of_health(start, capsys):
    process = start("exit 1")
    watched = Watched(process)
    now, waits = time.monotonic(), []
    for lived in (50, 50, 50, 50, 50, 50, 61, 5):
        process.handle.wait()
        now += lived
        watched.check(now)
        waits.append(float(capsys.readouterr().err.split(" restarted in ")[1].split()[0]))
        now += waits[-1]
        watched.check(now)

    assert waits == [1, 2, 4, 8, 16, 30, 1, 2]


@pytest.mark.process
def test_a_process_that_keeps_dying_ends_everything(start, monkeypatch, capsys):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.01)
    process, other = start("echo no such store; exit 1"), start("exec sleep 60", "redis")
    with pytest.raises(LaunchError) as ended:
        supervise([other, process])

    assert str(ended.value) == (
        "predictor ended (exit status 1), for the 5th time within 60 s, so everything is "
        f"stopped. Its log ends with: no such store; see {process.log}."
    )
    assert process.log.read_text().count("no such store") == MOST_ENDS
    assert capsys.readouterr().err.count("\n") == MOST_ENDS - 1
    assert other.how_it_ended() is None


@pytest.mark.process
def test_what_waits_for_a_process_is_interrupted_when_that_is_given_up(start, monkeypatch):
    monkeypatch.setattr(supervisor, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.01)
    process = start("echo no such store; exit 1", "worker")
    before = threading.enumerate()
    with pytest.raises(LaunchError) as ended, supervised([process], 600):
        time.sleep(60)

    assert str(ended.value) == (
        "worker ended (exit status 1), for the 5th time within 600 s, so everything is "
        f"stopped. Its log ends with: no such store; see {process.log}."
    )
    assert set(threading.enumerate()) <= {*before}  # those of other tests may have ended


@pytest.mark.process
@pytest.mark.parametrize("error", [KeyboardInterrupt, LaunchError])
def test_an_error_of_the_supervised_body_is_raised(start, error):
    process = start("exec sleep 60")
    before = threading.enumerate()
    with pytest.raises(error), supervised([process], 600):
        raise error

    assert process.how_it_ended() is None
    assert set(threading.enumerate()) <= {*before}  # those of other tests may have ended


@pytest.mark.process
def test_processes_that_live_two_minutes_are_given_up_if_the_window_is_long(start):
    process = start("exit 1")
    watched, now = Watched(process, 600), time.monotonic()
    for _ in range(MOST_ENDS - 1):
        process.handle.wait()
        now += 120
        watched.check(now)
        now += 1
        watched.check(now)
    process.handle.wait()
    with pytest.raises(LaunchError, match="for the 5th time within 600 s"):
        watched.check(now + 110)


@pytest.mark.process
def test_what_can_not_be_started_is_tried_again(start, capsys):
    process = start("exit 1")
    watched = Watched(process)
    process.handle.wait()
    process.command = ["/nowhere/at/all"]
    now = time.monotonic()
    for seconds in (0, 1.1, 3.2):
        watched.check(now + seconds)

    assert capsys.readouterr().err.count("can't be started; it is restarted in") == 2


@pytest.mark.process
def test_a_log_that_can_not_be_written_is_told(tmp_path, guarded):
    (tmp_path / "redis.log").mkdir()
    process = Process(["true"], {}, tmp_path / "redis.log", guarded)
    with pytest.raises(LaunchError, match=r"redis\.log can't be written: Is a directory"):
        process.running().__enter__()


@pytest.mark.process
def test_children_of_what_died_go_before_it_is_started_again(start, tmp_path):
    """As those of a Celery worker, which would go on with the same work."""
    process = start(f"sleep 60 & echo $! > {tmp_path / 'child'}; wait")
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(), "a child")
    child = psutil.Process(int((tmp_path / "child").read_text()))
    process.handle.kill()
    process.handle.wait()
    Watched(process).check(time.monotonic())

    until(lambda: gone(child), "the child's end")


LAUNCHER = """
    import os, sys, time
    from pathlib import Path
    from psutil import Process as Known
    from launcher.processes import Guard, Process

    def process(name, guard):
        line = "sleep 60 & exec sleep 60"
        return Process(["sh", "-c", line], dict(os.environ), Path(sys.argv[1], name), guard)

    with Guard() as guard, process("a", guard).running(), process("b", guard).running() as b:
        b.handle.kill()
        b.handle.wait()
        b.clear()
        b.start()
        while len(Known().children(recursive=True)) < 5:  # the guard, and two groups of two
            time.sleep(0.01)
        print("running", flush=True)
        time.sleep(60)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_nothing_is_left_of_a_launcher_that_was_killed(tmp_path, number):
    code = textwrap.dedent(LAUNCHER)
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout.readline() == "running\n"
        started = psutil.Process(launcher.pid).children(recursive=True)
        launcher.send_signal(number)

    assert len(started) == 5
    until(lambda: all(map(gone, started)), "the end of all")


KILLED_IN_BETWEEN = """
    import os, signal, subprocess, sys
    from pathlib import Path
    from launcher.processes import Guard, Process

    class Started(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            print(self.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    with Guard() as guard:
        subprocess.Popen = Started
        Process(["sleep", "60"], dict(os.environ), Path(sys.argv[1], "a"), guard).start()
"""


@pytest.mark.process
def test_nothing_is_left_of_a_launcher_that_was_killed_as_it_had_started_something(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED_IN_BETWEEN), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as launcher:
        started = int(launcher.stdout.readline())

    until(lambda: not psutil.pid_exists(started) or gone(psutil.Process(started)), "its end")


@pytest.mark.process
def test_a_process_that_ignores_sigterm_is_killed(start, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE_SECONDS", 0.2)
    process = start("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: process.last_words() == "ready", "the trap to be set")
    guard._end({process.handle.pid})

    assert process.handle.wait(5) == -signal.SIGKILL


@pytest.mark.process
def test_a_guard_that_was_killed_is_no_reason_to_fail(tmp_path):
    with Guard() as killed:
        killed._process.kill()
        killed._process.wait()
        killed.join()
        killed.ended(1_000_000_000)


def gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.process
@pytest.mark.parametrize(("before", "ignored"), [("SIG_IGN", True), ("SIG_DFL", False)])
def test_a_hangup_that_is_ignored_at_the_start_stays_so(before, ignored):
    """As under nohup."""
    code = (
        f"import signal; signal.signal(signal.SIGHUP, signal.{before}); "
        "from launcher.command import _handle_signals; _handle_signals(); "
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == f"{ignored}\n"
