"""What the launcher says if it can't use its own files, or what it was told to use."""

import os
import re
import socket

import pytest

from launcher import command
from launcher.services import free_port

SECRET = "geheim"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command on a store, and return its exit status and what it has printed."""
    for name in [name for name in os.environ if name.startswith("HEADSTART_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path))
    monkeypatch.setattr(command, "_handle_signals", lambda: None)

    def run(*arguments, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.argv", ["launcher", *arguments])
        status = command.run()
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err
        return status, said.err

    return run


@pytest.fixture
def ports():
    """Ports for both services that are free."""
    return {f"HEADSTART_{name}_PORT": str(free_port()) for name in ("TRAINER", "PREDICTOR")}


def test_a_lock_that_can_not_be_opened_is_a_sentence(run, tmp_path):
    (tmp_path / "launcher.lock").mkdir()

    assert run("up") == (1, f"{tmp_path / 'launcher.lock'}: Is a directory.\n")


def test_a_directory_of_the_digits_that_can_not_be_made_is_a_sentence(run, tmp_path):
    (tmp_path / "datasets").touch()

    status, said = run("demo")
    assert status == 1
    assert said.startswith(str(tmp_path / "datasets"))
    assert said.endswith(": Not a directory.\n")
    assert said.count("\n") == 1


def test_data_that_can_not_be_looked_for_is_a_sentence(run, tmp_path):
    name = tmp_path / ("x" * 300)

    assert run("demo", "--data", str(name)) == (1, f"{name}: File name too long.\n")


def test_data_that_is_not_there_is_a_sentence(run):
    status, said = run("demo", "--data", "nowhere-at-all")

    assert status == 1
    assert re.fullmatch(
        r"DATA: expected a folder or an archive\. .*nowhere-at-all does not exist\.\n", said
    )


@pytest.mark.parametrize("name", ["HEADSTART_TRAINER_PORT", "HEADSTART_PREDICTOR_PORT"])
def test_a_port_in_use_is_a_sentence(run, ports, name):
    with socket.create_server(("127.0.0.1", int(ports[name]))):
        status, said = run("up", **ports)

    assert status == 1
    assert said == (
        f"Port {ports[name]} is in use: stop what listens there, or choose another, e.g. "
        f"{name}={int(ports[name]) + 100}.\n"
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"HEADSTART_ENGINE": "warp"}, r"HEADSTART_ENGINE: .*Received: 'warp'"),
        ({"HEADSTART_HOST": "192.0.2.1"}, r"HEADSTART_HOST, HEADSTART_TRAINER_PORT: can't listen"),
        ({"HEADSTART_PREDICTOR_PORT": "{HEADSTART_TRAINER_PORT}"}, r".* must differ"),
        (
            {"HEADSTART_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:1/0"},
            r"HEADSTART_REDIS_URL: Redis can't be reached",
        ),
    ],
)
def test_settings_that_can_not_work_are_a_sentence(run, ports, settings, sentence):
    filled = {name: value.format(**ports) for name, value in settings.items()}
    status, said = run("up", **ports | filled)

    assert status == 1
    assert re.match(sentence, said), said
    assert said.count("\n") == 1
