"""The commands that name, note, rename and remove models, with a real trainer."""

import json

import pytest
from typer.testing import CliRunner

from client.app import app
from client.model_life import size_in_words
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.breaking_proxy import running_trainer
from tests.support.trainer.builders import trainer_settings

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def settings(tmp_path_factory, redis_url):
    return trainer_settings(tmp_path_factory.mktemp("trainer"), redis_url)


@pytest.fixture(scope="module")
def url(settings):
    with running_trainer(settings) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def run(url, monkeypatch):
    """Run a command, and return its exit code and what it prints."""
    monkeypatch.setenv("HEADSTART_TRAINER_URL", url)
    monkeypatch.setenv("HEADSTART_PREDICTOR_URL", "http://127.0.0.1:1")

    def invoke(*arguments):
        done = CliRunner().invoke(app, list(arguments), prog_name="headstart")
        return done.exit_code, done.output

    return invoke


def test_notes_and_aliases_are_given_shown_and_removed(run, settings):
    for _ in range(2):
        publish_tiny_model(settings.store, "pets")

    assert run("alias", "pets", "1", "champion") == (
        0,
        "Version 1 of pets has the alias champion.\n",
    )
    assert run("note", "pets", "For the shop.", "--version", "1")[0] == 0
    assert run("note", "pets", "Cats and dogs.") == (0, "Model pets is noted.\n")
    _, listed = run("models")
    assert "pets: Cats and dogs." in listed
    assert "pets, version 1: champion: For the shop." in listed
    assert run("alias", "pets", "1") == (0, "Version 1 of pets has no alias.\n")
    _, answer = run("--json", "note", "pets")
    assert json.loads(answer)["note"] is None
    code, refused = run("alias", "pets", "1", "latest")
    assert (code, "none of latest" in refused) == (1, True)


def test_models_and_versions_are_renamed_and_removed(run, settings):
    for _ in range(3):
        publish_tiny_model(settings.store, "birds")

    assert run("rename", "birds", "owls") == (0, "birds is called owls now.\n")
    assert run("delete", "owls", "1") == (0, "Version 1 of owls is removed.\n")
    code, refused = run("delete", "owls", "3")
    assert (code, "is the one that is served" in refused) == (1, True)
    assert run("delete", "owls", "3", "--force")[0] == 0
    code, refused = run("delete", "owls")
    assert (code, "force=true" in refused) == (1, True)
    assert run("delete", "owls", "--force") == (0, "Model owls is removed.\n")
    code, refused = run("delete", "owls")
    assert (code, "There is no model 'owls'" in refused) == (1, True)


def test_what_lies_on_the_disk_is_listed(run, settings):
    publish_tiny_model(settings.store, "cats")

    code, listed = run("usage")

    assert code == 0
    assert "model cats" in listed
    assert " are free." in listed


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_rounded(size, words):
    assert size_in_words(size) == words
