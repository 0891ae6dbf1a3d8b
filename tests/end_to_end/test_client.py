"""The command `headstart` against the real services."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.stack import digits, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ARCHITECTURE = "efficientnet_lite0"
TRAINABLE = ["--architecture", ARCHITECTURE]
NOWHERE = "http://127.0.0.1:1"


class Headstart:
    """Runs `headstart` with the addresses of the stack."""

    def __init__(self, stack):
        self._environment = {
            **os.environ,
            "HEADSTART_TRAINER_URL": str(stack.trainer.base_url),
            "HEADSTART_PREDICTOR_URL": str(stack.predictor.base_url),
        }
        self._environment.pop("COLUMNS", None)  # test processes side by side have one

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "client", *map(str, arguments)],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments):
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=240)
        assert "Traceback" not in out + err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments):
        """Run with --json and return what it printed, and its exit code."""
        done = self(*arguments, "--json")
        return json.loads(done.stdout), done.returncode


@pytest.fixture(scope="module")
def stack(directory, share_backbones):
    share_backbones(directory / "store")
    (directory / "datasets").mkdir()
    with running_stack(directory, datasets=directory / "datasets") as running:
        yield running


@pytest.fixture(scope="module")
def headstart(stack):
    return Headstart(stack)


@pytest.fixture(scope="module")
def pets(directory):
    """A folder of pictures whose labels are those of its folders, and one bad file."""
    folder = directory / "datasets" / "my pets"
    for name, data in digits(directory, "01", 40).items():
        file = folder / f"label {name[0]}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (folder / "label 0" / "bad.png").write_bytes(b"nonsense")
    return folder


@pytest.fixture(scope="module")
def trained(headstart, pets):
    return headstart("train", pets, "--architecture", ARCHITECTURE, "--epochs", 30)


@pytest.fixture(scope="module")
def picture(pets):
    return min((pets / "label 0").iterdir())


def test_a_folder_is_trained_on_and_every_phase_is_seen(trained):
    assert trained.returncode == 0, trained.stderr
    for phase in ("queued", "preparing", "bottleneck", "head", "evaluating", "publishing"):
        assert re.search(rf"^{phase} .*took \d+\.\d s$", trained.stdout, re.MULTILINE)
    assert "warning: 1 file was rejected" in trained.stdout
    assert "80 images, 2 labels, 1 rejected; 80 through the backbone, 0 reused" in trained.stdout
    assert len(re.findall(r"│ label \d +│ [01]\.\d{3} ", trained.stdout)) == 2
    assert "published as my-pets version 1" in trained.stdout
    assert trained.stderr == ""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_works(trained):
    line = trained.stdout.splitlines()[-1]
    answer = subprocess.check_output(line, shell=True, stderr=subprocess.DEVNULL)

    assert json.loads(answer)["predictions"][0]["label"] == "label 0"


def test_a_dataset_of_the_trainer_is_trained_on_and_json_is_all_that_is_printed(
    headstart, trained, pets
):
    record, code = headstart.json(
        "train", "--dataset", pets.name, "--architecture", ARCHITECTURE, "--model", "again",
        "--early-stopping", "val_accuracy", "--patience", 3, "--validation", 0.2, "--dropout", 0.4,
    )  # fmt: skip
    request = record["request"]

    assert code == 0
    assert (record["state"], record["version"]) == ("succeeded", 1)
    assert record["cache"] == {**record["cache"], "reused": 80, "computed": 0}
    assert request["early_stopping"] == {
        "metric": "val_accuracy",
        "patience": 3,
        "min_delta": 0.0,
    }
    assert request["split"] == {"validation": 0.2, "test": 0.15}
    assert request["dropout"] == 0.4


def test_pictures_are_classified_and_one_that_is_none_is_told(headstart, trained, picture, pets):
    bad = pets / "label 0" / "bad.png"
    shown = headstart("predict", picture, bad, "--model", "my-pets", "--top", 2)
    answer, code = headstart.json("predict", picture, bad, "--model", "my-pets")
    alone, _ = headstart.json("predict", bad, "--model", "my-pets")

    assert shown.returncode == code == 1
    assert "label 0" in shown.stdout
    assert "not an image" in shown.stdout
    good, refused = answer["predictions"]
    assert (good["file"], good["label"]) == (str(picture), "label 0")
    assert refused["error"]["detail"] == alone["predictions"][0]["error"]["detail"]
    assert headstart("predict", picture, "--model", "my-pets").returncode == 0


def test_more_pictures_than_fit_in_a_request_keep_their_order(headstart, trained, pets):
    pictures = sorted(pets.rglob("[01].*.png"))
    answer, code = headstart.json("predict", *pictures, "--model", "my-pets", "--top", 1)

    assert code == 0
    assert [prediction["file"] for prediction in answer["predictions"]] == list(map(str, pictures))
    right = sum(Path(row["file"]).parent.name == row["label"] for row in answer["predictions"])
    assert right / len(pictures) > 0.9


def test_models_and_trainings_are_listed(stack, headstart, trained):
    stack.served("my-pets", 1)
    models, _ = headstart.json("models")
    trainings, _ = headstart.json("trainings")
    shown = headstart("models").stdout

    assert "my-pets" in [model["name"] for model in models]
    assert re.search(rf"my-pets +1 +1 +{ARCHITECTURE} +2 +[01]\.\d{{4}}", shown)
    listed = headstart("trainings").stdout
    assert all(f"{record['id']}  " in listed for record in trainings)


def test_without_the_predictor_models_are_still_listed(headstart, trained):
    done = headstart("models", "--predictor", NOWHERE)

    assert done.returncode == 0
    assert "my-pets" in done.stdout
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["train", "{pets}", "--architecture", "alexnet"], 1, "Received: 'alexnet'"),
        (["train", "--dataset", "nothing", *TRAINABLE], 1, "does not exist"),
        (["train", "{pets}", *TRAINABLE, "--test", "1.5"], 1, "Received: 1.5"),
        (["predict", "{picture}", "--model", "unknown"], 1, "no model 'unknown'"),
        (["predict", "{picture}", "--predictor", NOWHERE], 3, "can't be reached"),
        (["cancel", "20260101-000000-abcdef"], 1, "no training"),
        (["models", "--trainer", "{predictor}"], 1, "is not Headstart's trainer"),
        (["trainings", "--trainer", "{predictor}"], 1, "is not Headstart's trainer"),
    ],
)
def test_what_is_refused_is_one_sentence_and_an_exit_code(
    headstart, stack, trained, pets, picture, arguments, code, sentence
):
    names = {"pets": pets, "picture": picture, "predictor": stack.predictor.base_url}
    filled = [argument.format(**names) for argument in arguments]
    done = headstart(*filled)
    answer, json_code = headstart.json(*filled)

    assert (done.returncode, json_code) == (code, code)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert sentence in answer["error"]["detail"]


def test_a_training_that_fails_ends_with_1_and_its_reason(headstart, tmp_path):
    (tmp_path / "cat.1.png").write_bytes(b"no picture")
    done = headstart("train", tmp_path, "--architecture", ARCHITECTURE)

    assert done.returncode == 1
    assert "failed" in done.stdout
    assert done.stderr.startswith("The training failed: None of the 1 images")


def test_a_followed_training_is_cancelled_from_elsewhere(headstart, directory, tmp_path):
    for name, data in digits(directory, "23456789", 150).items():
        (tmp_path / name).write_bytes(data)
    following = headstart.start("train", tmp_path, "--architecture", ARCHITECTURE)
    line = following.stdout.readline()
    while line and not line.startswith("bottleneck"):
        line = following.stdout.readline()
    newest = headstart.json("trainings")[0][0]
    cancelled = headstart("cancel", newest["id"])
    out, err = following.communicate(timeout=30)

    assert cancelled.returncode == 0
    assert (following.returncode, err) == (1, "The training was cancelled.\n")
    assert out.splitlines()[-1] == "cancelled"
    assert headstart("cancel", newest["id"]).returncode == 1


def test_interrupted_it_lets_the_training_go_on(headstart, stack, pets):
    slow = ("--epochs", 50, "--early-stopping", "off")
    following = headstart.start("train", pets, "--architecture", ARCHITECTURE, *slow)
    assert following.stdout.readline().startswith("uploading")
    assert following.stdout.readline().startswith("queued")
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=20)
    training_id = re.search(r"headstart cancel ([\w-]+)", err)[1]

    assert following.returncode == 130
    assert stack.ended({"id": training_id})["state"] == "succeeded"


def test_detached_it_returns_at_once(headstart, pets):
    record, code = headstart.json("train", pets, "--architecture", ARCHITECTURE, "--detach")

    assert (code, record["state"]) == (0, "queued")
    assert headstart("cancel", record["id"]).returncode == 0
