"""What the launcher says if it can't use its own files."""

import pytest

from launcher import command


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command on a store, and return its exit status and what it has printed."""
    monkeypatch.setenv("HEADSTART_STORE", str(tmp_path))
    monkeypatch.setattr(command, "_handle_signals", lambda: None)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["launcher", *arguments])
        status = command.run()
        return status, capsys.readouterr().err

    return run


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
