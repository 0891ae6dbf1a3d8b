"""What the commands say of how a dataset is read, and what they let users decide."""

import json
import os
import shlex
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from client import reading
from client.app import app
from tests.support.processes.http_server import serving
from tests.support.trainer.builders import new_dataset_record
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.interpretation import (
    Layout,
    PossibleReading,
    ReadingNote,
    UnusedFile,
)

ID = "20261123-153522-1f25fc"
DOUBT = "The labels found are 'train', 'test'."


def dataset(**fields):
    """Return a dataset as the trainer answers it."""
    said = {
        "layout": Layout(kind="folders", text="Labels are the names of folders.", level=2),
        "notes": [ReadingNote(kind="merged", text="'Cat' and 'cat' are one.")],
        "unused": [UnusedFile(name="a.csv", columns=["id", "x"], reason="no labels")],
        "images": 8,
        "label_count": 2,
    }
    return new_dataset_record(record_id=ID, **said | fields).model_dump(mode="json")


def doubtful():
    other = PossibleReading(
        reading=ReadingRequest(level=1, ignore=["my extra"]),
        text="Labels are the outer folders.",
        images=8,
        labels=4,
    )
    return dataset(doubt=DOUBT, readings=[other], reading=ReadingRequest(labels="folders"))


class Trainer:
    """Answers for the routes of datasets and trainings, and keeps what it was sent."""

    def __init__(self):
        self.datasets = [dataset()]
        self.received = []
        self.refusal = None

    def answer(self, method, path, body):
        self.received.append((method, path, body))
        if path == "/v1/datasets":
            return 200, [dataset(), dataset(state="failed")]
        if path.startswith("/v1/datasets/"):
            left = len(self.datasets) > 1
            return 200, self.datasets.pop(0) if left else self.datasets[0]
        if self.refusal:
            return 422, {"detail": self.refusal, "status": 422}
        return 202, {"id": ID, "model": "pets", "state": "queued", "dataset": {"id": ID}}


@pytest.fixture
def trainer(monkeypatch):
    monkeypatch.setattr(reading, "LOOK_SECONDS", 0)
    trainer = Trainer()

    class Handler(BaseHTTPRequestHandler):
        def _do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = trainer.answer(self.command, self.path, json.loads(body or "null"))
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _do  # noqa: N815 - so the base class calls them

        def log_message(self, *_):
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        monkeypatch.setenv("HEADSTART_TRAINER_URL", f"http://127.0.0.1:{server.server_port}")
        yield trainer


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="headstart")


def test_a_dataset_is_shown_with_how_it_was_read(trainer):
    done = run("datasets", ID)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"Dataset {ID} of a.zip is ready: 8 images, 2 labels, 0 rejected.",
        "Labels are the names of folders.",
        "  merged: 'Cat' and 'cat' are one.",
        "  unused: a.csv (id, x): no labels",
    ]
    assert trainer.received == [("GET", f"/v1/datasets/{ID}", None)]


def test_datasets_are_listed(trainer):
    done = run("datasets")

    assert done.exit_code == 0, done.output
    assert [line.split()[:4] for line in done.stdout.splitlines() if ID in line] == [
        [ID, "a.zip", "ready", "8"],
        [ID, "a.zip", "failed", "8"],
    ]
    assert trainer.received == [("GET", "/v1/datasets", None)]


def test_a_dataset_that_failed_is_told_of_as_one(trainer):
    trainer.datasets = [
        dataset(
            state="failed", images=None, error={"type": "InvalidDataset", "detail": "No labels."}
        )
    ]

    assert f"Dataset {ID} of a.zip has failed" in run("datasets", ID).stdout


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--level", "1"], {"level": 1}),
        (["--confirm"], {"confirm": True}),
        (["--reading", "{}"], {}),
        (
            ["--table", "a.csv", "--label-column", "x"],
            {"table": "a.csv", "columns": {"label": "x"}},
        ),
        (["--ignore", "a", "--ignore", "b"], {"ignore": ["a", "b"]}),
        (
            [
                "--part",
                "night=test",
                "--part",
                "a=b=train",
                "--reading",
                '{"splits": {"c": "none"}}',
            ],
            {"splits": {"c": "none", "night": "test", "a=b": "train"}},
        ),
        (
            ["--reading", '{"level": 2, "columns": {"image": "id"}}', "--label-column", "x"],
            {"level": 2, "columns": {"image": "id", "label": "x"}},
        ),
        (["--reading", "FILE", "--level", "-1"], {"rename": {"a": "b"}, "level": -1}),
    ],
)
def test_a_dataset_is_read_as_the_options_say(trainer, tmp_path, options, sent):
    file = tmp_path / "reading.json"
    file.write_text('{"rename": {"a": "b"}, "level": 3}')
    trainer.datasets = [dataset(state="queued"), dataset(state="reading"), dataset()]

    done = run("datasets", ID, *(str(file) if o == "FILE" else o for o in options))

    assert done.exit_code == 0, done.output
    assert trainer.received[0] == ("PUT", f"/v1/datasets/{ID}/reading", sent)
    assert len(trainer.received) == 3
    ReadingRequest.model_validate(sent)


@pytest.mark.parametrize("doubt", ["", DOUBT])
@pytest.mark.parametrize("command", ["datasets", "train"])
def test_a_reading_that_is_refused_ends_with_1_and_why(trainer, command, doubt):
    error = {"type": "InvalidDataset", "detail": "No image lies in so many folders."}
    refused = {"reading": ReadingRequest(level=7), "error": error, "revision": 1}
    trainer.datasets = [dataset(state="queued"), dataset(refused=refused, doubt=doubt)]
    options = ["--dataset", ID] if command == "train" else [ID]

    done = run(command, *options, "--level", "7")

    assert done.exit_code == 1
    assert "stays as it was read before: No image lies in so many folders." in done.stderr
    assert all(method != "POST" for method, _, _ in trainer.received)


@pytest.mark.parametrize(
    "arguments",
    [
        ["datasets", "--level", "1"],
        ["datasets", ID, "--reading", "{"],
        ["datasets", ID, "--part", "night"],
        ["datasets", ID, "--part", "=test"],
        ["datasets", ID, "--reading", "/nowhere.json"],
        ["train", "--dataset", ID, "--reading", "/dev/null"],
    ],
)
def test_a_reading_that_is_none_is_wrong_usage(trainer, arguments):
    done = run(*arguments)

    assert (done.exit_code, trainer.received) == (2, [])
    assert "Usage" in done.output


@pytest.mark.parametrize("command", ["datasets", "train"])
def test_a_doubtful_dataset_ends_with_1_and_the_commands_that_help(trainer, command):
    trainer.datasets, trainer.refusal = [doubtful()], "doubtful"
    options = ["--dataset", ID, "--model", "my-pets", "--epochs", "3", "--patience", "2"]
    arguments = [command, *(options if command == "train" else [ID])]

    done = run(*arguments)
    lines = done.stderr.splitlines()

    assert done.exit_code == 1
    assert lines[0].startswith(DOUBT)
    assert "  Labels are the outer folders. 8 images, 4 labels:" in lines
    first, second = (shlex.split(line) for line in lines if line.lstrip().startswith("headstart"))
    assert first[0] == "headstart"
    for suggested in (first, second):
        assert suggested[1 : len(arguments) + 1] == arguments
    trainer.received.clear()
    run(*first[1:])
    assert trainer.received[0][2] == {"labels": "folders", "confirm": True}
    trainer.received.clear()
    run(*second[1:])
    assert trainer.received[0][2] == {"level": 1, "ignore": ["my extra"]}


@pytest.mark.parametrize("command", [["datasets", ID], ["train", "--dataset", ID]])
def test_the_commands_that_help_reach_the_trainer_that_was_asked(trainer, monkeypatch, command):
    url = os.environ["HEADSTART_TRAINER_URL"]
    monkeypatch.delenv("HEADSTART_TRAINER_URL")
    trainer.datasets, trainer.refusal = [doubtful()], "doubtful"

    done = run(*command, "--trainer", url)

    commands = [shlex.split(line) for line in done.stderr.splitlines() if "  headstart" in line]
    assert len(commands) == 2
    for suggested in commands:
        trainer.received.clear()
        run(*suggested[1:])
        assert trainer.received[0][:2] == ("PUT", f"/v1/datasets/{ID}/reading")


def test_a_training_on_a_dataset_has_that_read_anew_first(trainer):
    done = run("train", "--dataset", ID, "--confirm", "--epochs", "3", "--detach")

    assert done.exit_code == 0, done.output
    assert trainer.received == [
        ("PUT", f"/v1/datasets/{ID}/reading", {"confirm": True}),
        ("POST", "/v1/trainings", {"dataset": ID, "epochs": 3}),
    ]


def test_a_training_on_a_path_says_how_that_is_read(trainer):
    done = run("train", "--dataset", "pets", "--level", "2", "--detach")

    assert done.exit_code == 0, done.output
    assert trainer.received == [
        ("POST", "/v1/trainings", {"dataset": "pets", "reading": {"level": 2}})
    ]


def test_a_doubt_as_json_is_json_and_ends_with_1(trainer):
    trainer.datasets = [doubtful()]
    done = run("datasets", ID, "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["doubt"] == DOUBT
