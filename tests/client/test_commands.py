"""What the commands take and send."""

import inspect
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from client.app import app
from client.printing import (
    accuracy_in_words,
    curl_line,
    print_models,
    print_result,
    print_trainings,
    suspects_in_words,
)
from client.training.train import train_command
from client.training.training import model_name
from trainer_service.requests.training import EarlyStopping, SplitFractions, TrainingRequest
from trainer_service.requests.tune import TuneRequest

CREATED = "2026-01-31T23:59:59Z"
NESTED = {
    "early_stopping": (EarlyStopping, {"metric": "early_stopping"}),
    "split": (SplitFractions, {}),
    "tune": (
        TuneRequest,
        {name: f"tune_{name}" for name in TuneRequest.model_fields} | {"cut": "tune_from"},
    ),
}


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="headstart")


def test_every_field_of_a_training_is_an_option():
    options = set(inspect.signature(train_command).parameters)
    wanted = set(TrainingRequest.model_fields) - set(NESTED)
    for kind, renamed in NESTED.values():
        wanted |= {renamed.get(name, name) for name in kind.model_fields}
    assert wanted <= options


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ({}, "9 through the backbone, 3 reused (1.5 s saved)"),
        (
            {"views_computed": 20, "views_reused": 1},
            "9 through the backbone, 3 reused, and 20 views through the backbone, 1 reused (1.5 s",
        ),
    ],
)
def test_images_and_views_that_were_reused_and_computed_are_told(views, told):
    """A trainer of before tells nothing of views."""
    dataset = {"images": 12, "label_count": 2, "rejected_count": 0, "rejected": []}
    cache = {"computed": 9, "reused": 3, "seconds_saved": 1.5} | views
    metrics = {"test": {"accuracy": 0.5, "images": 2}}
    record = {"dataset": dataset, "cache": cache, "metrics": metrics, "model": "m", "version": 1}
    console = Console(file=io.StringIO(), width=200)
    print_result(record, console)

    assert told in console.file.getvalue()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"count": 12, "images": 2000}, "12 labels look wrong, of 2000 images: GET /v1/trainings"),
        ({"count": 1, "images": 9}, "1 label looks wrong, of 9 images: GET /v1/trainings/t/suspec"),
        ({"count": 0, "images": 9}, ""),
        (None, ""),
    ],
)
def test_labels_that_look_wrong_are_told(found, told):
    """A trainer of before tells nothing of them."""
    line = suspects_in_words({"id": "t"} | ({"suspects": found} if found else {}))
    assert line.startswith(told)
    assert bool(line) is bool(told)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["train", "{tmp}", "--dataset", "pets"],
        ["train", "{tmp}/nowhere"],
        ["train", ""],
        ["train", "{tmp}", "--epochs", "many"],
        ["train", "{tmp}", "--early-stopping", "off", "--patience", "3"],
        ["predict"],
        ["predict", "{tmp}/nowhere.jpg"],
        ["predict", "{tmp}"],
        ["cancel"],
        ["stop"],
        ["fly"],
    ],
)
def test_wrong_usage_ends_with_2(tmp_path, arguments):
    done = run(*(argument.format(tmp=tmp_path) for argument in arguments))

    assert done.exit_code == 2
    assert "Usage" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "command", [["models"], ["trainings"], ["cancel", "1"], ["stop", "1"], ["train", "."]]
)
def test_a_service_that_does_not_answer_ends_with_3_and_says_where_it_was_sought(command):
    done = run(*command, "--trainer", "http://127.0.0.1:1")

    assert done.exit_code == 3
    assert done.stderr.startswith("The trainer at http://127.0.0.1:1 can't be reached: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["models"], ["trainings"], ["cancel", "1"], ["stop", "1"], ["train", "."]]
)
def test_json_may_be_asked_for_before_the_command_and_after_it(command):
    before, after = (
        run(*arguments, "--trainer", "http://127.0.0.1:1")
        for arguments in (["--json", *command], [*command, "--json"])
    )

    assert before.exit_code == after.exit_code == 3
    assert before.stdout == after.stdout
    assert "can't be reached" in json.loads(before.stdout)["error"]["detail"]


def test_an_address_that_is_none_is_said_so():
    for address in ("localhost:8000", "nonsense", "http://", "http://[::1", "ftp://host"):
        for option in ("--trainer", "--predictor"):
            done = run("models", option, address)

            assert done.exit_code == 2
            assert f"Received: {address!r}" in done.stderr
            assert "expected an address such as" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("command", ["train", "predict"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_regular_file_is_refused_rather_than_waited_for(tmp_path, command, kind):
    path = Path(os.devnull) if kind == "device" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)
    done = subprocess.run(
        [sys.executable, "-m", "client", command, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "regular file" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        (">/dev/full", "stdout can't be written to: No space left on device.\n"),
        (">&-", "stdout is closed, so results can't be printed.\n"),
        ("| true", ""),
    ],
)
def test_results_that_can_not_be_printed_are_told_in_a_line(redirection, said):
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m client --help {redirection}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert done.stderr == said


@pytest.mark.parametrize(
    ("name", "model"),
    [("pets", "pets"), ("my pets!", "my-pets"), ("pets.v2.tar.gz", "pets"), ("猫", "default")],
)
def test_a_model_is_named_like_its_images(tmp_path, name, model):
    assert model_name(tmp_path / name) == model


@pytest.mark.process
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", ["cat.jpg", "my cat's.jpg", 'a,b;"c".jpg'])
def test_the_curl_line_survives_any_file_name(tmp_path, name):
    picture = tmp_path / name
    picture.write_bytes(b"picture")
    line = curl_line("http://127.0.0.1:8001", "pets", picture)
    # curl itself shows what it would send: the file is read before a connection is made.
    command, *options = shlex.split(line)
    done = subprocess.run(
        [
            command,
            "--silent",
            "--show-error",
            "--connect-timeout",
            "1",
            *options[:-1],
            "http://127.0.0.1:1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert options[-1] == "http://127.0.0.1:8001/v1/predict?model=pets"
    assert done.returncode == 7, done.stderr  # the connection failed, not the reading


@pytest.mark.process
def test_it_starts_as_a_module_without_importing_what_services_need():
    code = "import sys, client.app; print({'tensorflow', 'fastapi', 'numpy'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True)

    assert done.strip() == "set()"


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"test": None},
        {"test": "good"},
        {"test": {"accuracy": None}},
        {"test": {"accuracy": 9**999}},
    ],
)
def test_what_a_manifest_has_in_place_of_an_accuracy_hides_no_model(metrics):
    version = {"version": 1, "architecture": "vgg16", "labels": ["a", "b"], "created_at": CREATED}
    models = [
        {"name": name, "pinned": None, "versions": [version | {"metrics": its_metrics}]}
        for name, its_metrics in (("odd", metrics), ("sound", {"test": {"accuracy": 0.25}}))
    ]
    output = io.StringIO()
    print_models(models, {}, Console(file=output, width=120))

    assert re.search(r"odd .* 2 +- ", output.getvalue())
    assert re.search(r"sound .* 0\.2500 ", output.getvalue())


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ({}, "Test accuracy 0.5000 on 4 images"),
        (
            {"accuracy_low": 0.150036, "accuracy_high": 0.849964},
            "Test accuracy 0.5000 on 4 images (0.150 to 0.850 with 95 % confidence)",
        ),
    ],
)
def test_an_accuracy_is_told_with_how_certain_it_is(interval, words):
    """Versions of earlier releases have no interval."""
    assert accuracy_in_words({"accuracy": 0.5, "images": 4} | interval) == words


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ({}, r"0\.5000 +- "),
        ({"accuracy_low": None, "accuracy_high": 0.85}, r"0\.5000 +- "),
        ({"accuracy_low": 0.150036, "accuracy_high": 0.849964}, r"0\.5000 +0\.150 to 0\.850"),
    ],
)
def test_lists_have_the_range_of_each_accuracy(interval, shown):
    metrics = {"test": {"accuracy": 0.5, "images": 4, **interval}}
    version = {"version": 1, "architecture": "vgg16", "labels": ["a", "b"], "created_at": CREATED}
    model = {"name": "pets", "pinned": None, "versions": [version | {"metrics": metrics}]}
    training = {
        "id": "20260131-235959-123456",
        "model": "pets",
        "version": 1,
        "architecture": "efficientnet_lite0",
        "state": "succeeded",
        "progress": None,
        "metrics": metrics,
    }
    output = io.StringIO()
    print_models([model], {}, Console(file=output, width=120))
    print_trainings([training], Console(file=output, width=120))

    assert len(re.findall(shown, output.getvalue())) == 2, output.getvalue()


@pytest.mark.parametrize(
    ("tune", "shown"),
    [({"published": True}, "vgg16, tuned  "), ({"published": False}, "vgg16  "), (None, "vgg16  ")],
)
def test_lists_say_which_networks_are_tuned(tune, shown):
    facts = {"version": 1, "architecture": "vgg16", "metrics": {}, "tune": tune}
    version = facts | {"labels": ["a", "b"], "created_at": CREATED}
    training = facts | {"id": "1", "model": "pets", "state": "succeeded", "progress": None}
    output = io.StringIO()
    print_models([{"name": "pets", "pinned": None, "versions": [version]}], {}, _wide(output))
    print_trainings([training], _wide(output))

    assert output.getvalue().count(shown) == 2, output.getvalue()


def _wide(output):
    return Console(file=output, width=120)


def test_a_single_thing_is_counted_in_the_singular():
    assert accuracy_in_words({"accuracy": 1.0, "images": 1}).endswith("on 1 image")
