"""What the command asks of fine-tuning, and what it says of it."""

import io
import json
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from client.app import app
from client.printing import print_result
from client.training.show import duration, shown
from tests.support.inputs.tiny_model import picture
from tests.support.processes.breaking_proxy import running_trainer
from tests.support.trainer.builders import emptied_stores, trainer_settings
from trainer_service.requests.tune import TuneRequest

ARCHITECTURE = "efficientnet_lite0"
LAYER = "block11_project_bn"


@pytest.fixture(scope="module")
def settings(tmp_path_factory, redis_url):
    return trainer_settings(tmp_path_factory.mktemp("trainer"), redis_url)


@pytest.fixture(scope="module")
def url(settings):
    with running_trainer(settings) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def stores(settings):
    return emptied_stores(settings)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(picture("red"))
    return tmp_path / "pets"


def train(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)], prog_name="headstart")


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["folder", "dataset"])
@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], "off"),
        (["--tune", "off"], "off"),
        (["--tune", "tail"], "tail"),
        (["--tune", "tail", "--tune-epochs", "3"], TuneRequest(epochs=3)),
        (
            ["--tune-from", LAYER, "--tune-views", "4", "--tune-augment", "crop,colour"],
            TuneRequest(cut=LAYER, views=4, augment=["crop", "colour"]),
        ),
        (
            ["--tune-blocks", "2", "--tune-learning-rate", "0.001", "--tune-patience", "1"],
            TuneRequest(blocks=2, learning_rate=0.001, patience=1),
        ),
        (["--tune-head-learning-rate", "0.1"], TuneRequest(head_learning_rate=0.1)),
    ],
)
def test_the_trainer_is_asked_for_what_the_options_say(url, stores, folder, kind, options, asked):
    images = [folder] if kind == "folder" else ["--dataset", "pets"]
    rest = ["--architecture", ARCHITECTURE, "--detach", "--json", "--trainer", url]
    done = train(*images, *options, *rest)

    assert done.exit_code == 0, done.output
    assert stores.trainings.get(json.loads(done.stdout)["id"]).request.tune == asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tune", "off", "--tune-epochs", "3"], "--tune off, --tune-epochs would have no effect"),
        (["--tune", "tail", "--tune-from", LAYER], "--tune tail and --tune-from each say"),
        (["--tune-from", LAYER, "--tune-blocks", "2"], "--tune-from and --tune-blocks each say"),
        (["--tune", "all", "--tune-learning-rate", "1"], "beside --tune-learning-rate"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(folder, options, said):
    done = train(folder, *options)

    assert done.exit_code == 2
    assert said in " ".join(re.sub(r"[│\n]", " ", done.output).split())


def progress(step, done, total, speed=None):
    return {
        "type": "tune_progress",
        "phase": "tuning",
        "step": step,
        "done": done,
        "total": total,
        "per_second": speed,
        "eta_seconds": 9.0 if speed else None,
    }


def epoch(number, val_loss, *, best):
    values = {"loss": 0.1, "accuracy": 0.9, "val_loss": val_loss, "val_accuracy": 0.8}
    return {"type": "tune_epoch", "epoch": number, "epochs": 8, "best": best, **values}


EVENTS = [
    {"type": "state", "state": "tuning", "previous": "head", "previous_seconds": 1.5},
    progress("views", 0, 900),
    {
        "type": "tune_estimate",
        "seconds": 200.4,
        "views_seconds": 65.0,
        "epoch_seconds": 16.92,
        "epochs": 8,
        "bytes": 10**8,
    },
    progress("views", 450, 900, 41.6),
    progress("training", 0, 1200),
    epoch(1, 0.412, best=True),
    epoch(2, 0.431, best=False),
    {"type": "state", "state": "evaluating", "previous": "tuning", "previous_seconds": 70.25},
]
ESTIMATE = "takes 3 min 20 s at most: 1 min 5 s for views, 17 s for each of 8 epochs"


def test_without_a_terminal_the_estimate_and_each_epoch_are_lines(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    output = io.StringIO()
    with shown(Console(file=output, width=100)) as show:
        for event in EVENTS:
            now += 3
            show(event)

    assert output.getvalue().splitlines() == [
        "head        took 1.5 s",
        "tuning",
        "tuning      views 0/900",
        f"tuning      {ESTIMATE}",
        "tuning      views 450/900 42 views/s, ETA 9 s",
        "tuning      training 0/1200",
        "tuning      epoch 1/8 val_loss 0.412 val_accuracy 0.800, the best so far",
        "tuning      epoch 2/8 val_loss 0.431 val_accuracy 0.800",
        "tuning      epoch 2/8 val_loss 0.431 val_accuracy 0.800 took 70.2 s",
        "evaluating",
    ]


def test_a_terminal_has_a_bar_whose_last_epoch_stays():
    output = io.StringIO()
    with shown(Console(file=output, force_terminal=True, width=120, color_system=None)) as show:
        for event in EVENTS:
            show(event)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.getvalue())
    tuning = [line for line in text.splitlines() if line.startswith("tuning")][-1]

    assert ESTIMATE in text
    assert "70.2 s  epoch 2/8 val_loss 0.431 val_accuracy 0.800" in tuning


def test_times_are_said_as_people_say_them():
    times = [duration(seconds) for seconds in (0.04, 9.94, 59.6, 61, 3599, 7500)]

    assert times == ["0.0 s", "9.9 s", "1 min 0 s", "1 min 1 s", "59 min 59 s", "2 h 5 min"]


@pytest.mark.parametrize(
    ("tune", "end"),
    [
        (None, "published as pets version 2."),
        ({"published": True}, f"published as pets version 2, tuned from {LAYER} on."),
        ({"published": False}, "published as pets version 2, with the backbone as it was."),
    ],
)
def test_the_last_line_says_whether_the_tuned_network_is_published(tune, end):
    record = {
        "model": "pets",
        "version": 2,
        "dataset": {"images": 9, "label_count": 2, "rejected_count": 0, "rejected": []},
        "cache": {"computed": 9, "reused": 0, "seconds_saved": 0.0},
        "metrics": {"test": {"accuracy": 0.5, "images": 2}},
        "tune": tune and {"cut": LAYER, "reason": "It is so [b]because[/b] it is.", **tune},
    }
    output = io.StringIO()
    print_result(record, Console(file=output, width=200))
    lines = output.getvalue().splitlines()

    assert lines[-1].endswith(end)
    assert ("Fine-tuning: It is so [b]because[/b] it is." in lines) == (tune is not None)
