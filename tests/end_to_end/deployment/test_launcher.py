"""`make demo` and `make up` as a user runs them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from launcher import command, supervisor
from launcher.digits import write_digits
from launcher.services import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def environment(tmp_path):
    return {
        **{name: value for name, value in os.environ.items() if "HEADSTART" not in name},
        "HEADSTART_STORE": str(tmp_path / "var" / "store"),
        "HEADSTART_WEIGHTS": str(tmp_path / "var" / "weights"),
        "HEADSTART_WEIGHTS_URL": "http://127.0.0.1:1",
        "HEADSTART_TRAINER_PORT": str(free_port()),
        "HEADSTART_PREDICTOR_PORT": str(free_port()),
    }


def launch(environment, *arguments, timeout=240):
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def nothing_listens(environment):
    for name in ("HEADSTART_TRAINER_PORT", "HEADSTART_PREDICTOR_PORT"):
        with pytest.raises(OSError):  # noqa: PT011 - refused, or reset
            socket.create_connection(("127.0.0.1", int(environment[name])), timeout=1)
    return True


def test_the_demo_goes_to_ten_predictions(environment, share_backbones):
    """On a fifth of its digits, where it would write them; its backbone is there already."""
    share_backbones(Path(environment["HEADSTART_STORE"]))
    folder = write_digits(Path(environment["HEADSTART_STORE"]) / "datasets" / "digits")
    for number, file in enumerate(sorted(folder.iterdir())):
        if number % 5:
            file.unlink()
    done = launch(environment, "demo")

    accuracy = float(check_demo(done, r"\d\d")[1])
    assert accuracy >= 0.75
    assert "served as digits version 1" in done.stdout
    assert nothing_listens(environment)


def check_demo(done, test_images):
    """Require that a demo went well, and return a match whose first group is the accuracy."""
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("preparing", "bottleneck", "head", "evaluating", "publishing", "succeeded"):
        assert phase in done.stdout
    assert len(re.findall(r"│ \d\.\d{4}\.png │ \d", done.stdout)) == 10
    told = (
        rf"Test accuracy (\d\.\d+) on {test_images} images "
        r"\(0\.\d+ to [01]\.\d+ with 95 % confidence\), served"
    )
    return re.search(told, done.stdout)


@pytest.mark.exhaustive
def test_the_demo_goes_from_nothing_to_ten_predictions(environment):
    done = launch(environment, "demo")

    assert float(check_demo(done, "269")[1]) >= 0.9
    assert nothing_listens(environment)


@pytest.mark.exhaustive
def test_the_demo_takes_a_folder_of_the_user(environment, tmp_path, share_backbones):
    share_backbones(Path(environment["HEADSTART_STORE"]))
    folder = tmp_path / "my pictures"
    for file in sorted(write_digits(tmp_path / "digits").iterdir())[:400:3]:
        target = folder / f"number {file.name[0]}" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    done = launch(environment, "demo", "--data", str(folder))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "number 0" in done.stdout
    assert "served as my-pictures version 1" in done.stdout


def test_data_that_cannot_be_used_is_one_sentence(environment, tmp_path):
    (tmp_path / "readme.txt").write_text("no pictures here")
    done = launch(environment, "demo", "--data", str(tmp_path))

    assert done.returncode == 1
    assert re.search(rf"No images found in '{tmp_path.name}'", done.stderr), done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") == 1
    assert nothing_listens(environment)


def test_the_demo_ends_if_its_worker_ends_again_and_again(
    environment, tmp_path, monkeypatch, capsys
):
    """In this process, so that the waits between its starts are shorter."""
    monkeypatch.setattr(supervisor, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(command, "_handle_signals", lambda: None)
    monkeypatch.setattr("sys.argv", ["launcher", "demo"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = environment | {"HEADSTART_WORKER_METRICS_PORT": port}
        for name in [name for name in settings if name.startswith("HEADSTART_")]:
            monkeypatch.setenv(name, settings[name])
        status = command.run()

    said = capsys.readouterr()
    assert status == 1, said
    *restarts, reason = said.err.splitlines()
    assert len(restarts) == 4
    assert reason.startswith("worker ended (exit status 1), for the 5th time within 600 s")
    assert "HEADSTART_WORKER_METRICS_PORT: can't listen" in reason
    assert reason.endswith(f"see {tmp_path / 'var/store/logs/worker.log'}.")
    assert nothing_listens(environment)


def test_up_starts_again_what_dies_and_leaves_nothing_when_it_is_killed(environment):
    command = [sys.executable, "-m", "launcher", "up"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        up = psutil.Process(process.pid)
        for name, program in PROGRAMS.items():
            old = the_one(up, program)
            children = old.children(recursive=True)
            old.kill()
            said = process.stderr.readline()
            assert said.startswith(
                f"{name} ended (SIGKILL); it is restarted in 1 s. Its log ends with: "
            )
            assert all_end(children)
        for url in ("TRAINER", "PREDICTOR"):
            wait_until_ready(f"http://127.0.0.1:{environment[f'HEADSTART_{url}_PORT']}/healthz")
        left = up.children(recursive=True)
        assert len(left) >= 5
        process.kill()
    assert all_end(left)
    assert nothing_listens(environment)


PROGRAMS = {
    "predictor": "predictor_service",
    "worker": "trainer_service.worker",
    "redis": "redis-server",
    "trainer": "trainer_service",
}


def the_one(up, program):
    """Return the child of the launcher that runs a module or program."""
    children = {child: child.cmdline() for child in up.children()}
    [child] = [
        child
        for child, line in children.items()
        if program in (line[-1], Path(line[0]).name.partition(" ")[0])
    ]
    return child


def all_end(processes):
    deadline = time.monotonic() + 30
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(is_running, processes))


def is_running(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ready(url):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.2)
    pytest.fail(f"{url} was not ready within a minute")


def test_up_runs_until_it_is_told_to_stop_and_a_second_one_is_refused(environment):
    """That one would empty the logs of the first, and its worker would not see its queue."""
    logs = Path(environment["HEADSTART_STORE"]) / "logs"
    ports = {f"HEADSTART_{name}_PORT": str(free_port()) for name in ("TRAINER", "PREDICTOR")}
    command = [sys.executable, "-m", "launcher", "up"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as process:
        ready = f"http://127.0.0.1:{environment['HEADSTART_TRAINER_PORT']}/readyz"
        try:
            wait_until_ready(ready)
            said = (logs / "trainer.log").read_text()
            second = launch(environment | ports, "demo", timeout=60)

            assert second.returncode == 1
            assert second.stderr == (
                f"Headstart is running on {environment['HEADSTART_STORE']} already: stop it, or "
                "set HEADSTART_STORE to another directory and choose other ports.\n"
            )
            assert (logs / "trainer.log").read_text().startswith(said)
            assert httpx.get(ready).is_success
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert nothing_listens(environment)
