"""What ends each process at its start: a sentence, and status 1."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import start
from shared.start import require_no_file, require_writable
from tests.support.ordinary_user import closed, ordinary_user, reachable_directory

PROCESSES = ("trainer_service", "predictor_service", "trainer_service.worker")
SECRET = "geheim"


def run(*module, **settings):
    environment = {name: value for name, value in os.environ.items() if "HEADSTART" not in name}
    ports = {"HEADSTART_TRAINER_PORT": "0", "HEADSTART_PREDICTOR_PORT": "0"}
    return subprocess.run(
        [sys.executable, "-m", *module],
        check=False,
        cwd=Path(__file__).parents[2],
        env={**environment, **ports, **settings},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.process
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_launcher_that_can_not_write_is_one_sentence(tmp_path, command):
    store = tmp_path / "store"
    store.write_text("")
    done = run("launcher", command, HEADSTART_STORE=str(store))

    assert done.returncode == 1
    assert done.stderr == (
        "HEADSTART_STORE: expected a directory that can be written: File exists. "
        f"Received: {str(store)!r}\n"
    )


@pytest.mark.process
@pytest.mark.parametrize("module", PROCESSES)
def test_a_file_where_the_store_would_be_is_one_sentence(tmp_path, module):
    store = tmp_path / "store"
    store.write_text("")
    done = run(module, HEADSTART_STORE=str(store))

    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()[-1:]
    assert sentence.startswith("HEADSTART_STORE: expected a directory")
    assert sentence.endswith(f"Received: {str(store)!r}")
    assert "Traceback" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("HEADSTART_THREADS", "-1", "HEADSTART_THREADS: Input should be greater"),
        ("HEADSTART_REDIS_URL", f"redis://:a{SECRET}/{SECRET}@x", "HEADSTART_REDIS_URL: expected"),
        ("HEADSTART_REDIS_URL", f"http://:{SECRET}@x:1", "HEADSTART_REDIS_URL: expected"),
    ],
)
def test_a_worker_with_a_wrong_setting_is_one_sentence(tmp_path, setting, value, sentence):
    done = run("trainer_service.worker", HEADSTART_STORE=str(tmp_path), **{setting: value})

    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_store_that_may_not_be_written_ends_the_process(mode):
    with reachable_directory() as store, closed(store, mode), ordinary_user():
        with pytest.raises(SystemExit) as ended:
            require_writable(store)
        with pytest.raises(SystemExit):
            require_writable(store / "below")
    assert ended.value.code == (
        "HEADSTART_STORE: expected a directory that can be written: Permission denied. "
        f"Received: {str(store)!r}"
    )


def test_one_that_can_be_written_is_made_and_left_empty(tmp_path):
    store = tmp_path / "var" / "store"
    require_writable(store)
    require_no_file(store)

    assert list(store.iterdir()) == []


def test_a_full_disk_is_no_reason_not_to_start(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(start, "TemporaryFile", full)
    require_writable(tmp_path)


def test_a_predictor_may_start_before_there_is_a_store(tmp_path):
    require_no_file(tmp_path / "nowhere")
