"""`headstart compare` and `headstart comparisons`, against a trainer that the test plays."""

import json

import httpx
import pytest
from typer.testing import CliRunner

from client import service
from client.app import app

ID = "20261126-205001-1a2b3c"
TRAINING = "20261126-205001-ef2c5a"
ROW = {
    "images": 40, "accuracy": 0.9, "accuracy_low": 0.77, "accuracy_high": 0.96, "loss": 0.31,
    "macro_f1": 0.89, "difference": 0.025, "wins": 1, "losses": 2, "p": 1.0,
    "training_seconds": 12.0, "version_bytes": 42_000_000, "multiply_adds": 10**9,
    "cost": {"precision": "f32", "single": 8.4, "batched": 7.1, "memory_bytes": 115_000_000},
}  # fmt: skip
FIRST = {"loss": 0.331, "standard_error": 0.042, "images": 150}


def candidate(name, **fields):
    blank = {"first_round": None, "row": None, "dropped": None, "error": None, "training": None}
    return {"name": name, **blank, **fields}


RECORD = {
    "id": ID,
    "model": "pets",
    "state": "succeeded",
    "dataset": {"id": ID},
    "candidates": [
        candidate("lite0", row=ROW, training=TRAINING),
        candidate("vgg16", dropped="Its log loss was 0.900."),
        candidate("resnet50_v2", error="Its training is failed."),
    ],
    "verdict": {"recommended": "lite0", "sentence": "lite0 is the cheapest."},
    "published": [{"training": TRAINING, "version": 3}],
    "publish_error": None,
    "error": None,
}
EVENTS = [
    {"id": 1, "type": "comparison_state", "state": "first_round"},
    {"id": 2, "type": "candidate", "what": "tried", "name": "lite0", "first_round": FIRST,
     "row": None, "detail": None},
    {"id": 3, "type": "candidate", "what": "dropped", "name": "vgg16", "first_round": None,
     "row": None, "detail": "Its log loss was 0.900."},
    {"id": 4, "type": "comparison_state", "state": "training"},
    {"id": 5, "type": "candidate", "what": "trained", "name": "lite0", "first_round": None,
     "row": ROW, "detail": None},
    {"id": 6, "type": "comparison_result"},
]  # fmt: skip


class Trainer:
    """What it is asked, and the record that it answers with."""

    def __init__(self):
        self.record = dict(RECORD)
        self.asked = []

    def __call__(self, request):
        body = request.content if request.method == "POST" else b""
        self.asked.append((request.method, request.url.path, body))
        if request.url.path.endswith("/events"):
            text = "".join(f"id: {e['id']}\ndata: {json.dumps(e)}\n\n" for e in EVENTS)
            return httpx.Response(200, text=text, headers={"Content-Type": "text/event-stream"})
        if request.url.path.startswith("/v1/trainings/"):
            problem = {"detail": f"There is no training {ID!r}.", "status": 404}
            return httpx.Response(404, json=problem)
        if request.url.path == "/v1/comparisons" and request.method == "GET":
            return httpx.Response(200, json=[self.record])
        return httpx.Response(200, json=self.record)


@pytest.fixture
def trainer(monkeypatch):
    playing = Trainer()
    transport, client = httpx.MockTransport(playing), httpx.Client
    monkeypatch.setattr(service.httpx, "Client", lambda **of: client(transport=transport, **of))
    return playing


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="headstart")


def test_what_becomes_of_each_is_shown_and_then_the_table(trainer):
    result = run("compare", "--dataset", "pets", "--architectures", "lite0,vgg16", "--seed", "2")

    assert result.exit_code == 0, result.output
    assert trainer.asked[0][:2] == ("POST", "/v1/comparisons")
    assert json.loads(trainer.asked[0][2]) == {
        "dataset": "pets", "architectures": "lite0,vgg16", "seed": 2,
    }  # fmt: skip
    lines = result.output.splitlines()
    assert "First round, on few images of each label:" in lines
    assert "  lite0: log loss 0.331 ± 0.042" in lines
    assert "  vgg16 was dropped: Its log loss was 0.900." in lines
    assert "Test accuracy 0.9000 on 40 images (0.770 to 0.960" in result.output
    assert "0.770 to 0.960" in result.output
    assert "1:2" in result.output
    assert "resnet50_v2: Its training is failed." in lines
    assert "lite0 is the cheapest." in lines
    assert "lite0 is published as pets version 3." in lines


def test_a_folder_is_uploaded_and_gives_the_model_its_name(trainer, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"x")

    result = run("compare", str(tmp_path / "pets"), "--detach", "--publish", "none")

    assert result.output.splitlines()[-1] == f"Comparison {ID} is succeeded."
    body = trainer.asked[0][2]
    assert b'name="model"\r\n\r\npets' in body
    assert b'name="publish"\r\n\r\nnone' in body


def test_a_dataset_with_an_id_is_first_read_as_the_user_asks(trainer):
    result = run("compare", "--dataset", ID, "--level", "1", "--detach")

    assert result.exit_code == 0, result.output
    reading, posted = trainer.asked
    assert reading[:2] == ("PUT", f"/v1/datasets/{ID}/reading")
    assert posted[:2] == ("POST", "/v1/comparisons")
    assert json.loads(posted[2]) == {"dataset": ID}


def test_what_is_left_out_of_a_folder_is_told(trainer, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"x")
    (tmp_path / "pets" / "dog").symlink_to(tmp_path)

    result = run("compare", str(tmp_path / "pets"), "--detach")

    assert result.exit_code == 0, result.output
    assert "left out: " in result.output
    assert "dog" in result.output


@pytest.mark.parametrize(
    ("state", "words"),
    [("failed", "The comparison failed: None of them."), ("cancelled", "was cancelled")],
)
def test_one_that_did_not_succeed_exits_with_1(trainer, state, words):
    trainer.record |= {"state": state, "error": {"detail": "None of them."}}

    result = run("compare", "--dataset", "pets")

    assert result.exit_code == 1
    assert words in result.output


def test_json_is_all_that_is_printed_if_it_is_asked_for(trainer):
    result = run("compare", "--dataset", "pets", "--json")

    assert json.loads(result.stdout) == RECORD


def test_comparisons_are_listed_shown_and_published_from(trainer):
    assert "lite0" in run("comparisons").output
    assert "lite0 is the cheapest." in run("comparisons", ID).output

    assert run("comparisons", ID, "--publish", TRAINING).exit_code == 0
    [posted] = [ask for ask in trainer.asked if ask[0] == "POST"]
    assert posted[1] == f"/v1/comparisons/{ID}/publish"
    assert json.loads(posted[2]) == {"training": TRAINING}
    assert run("comparisons", "--publish", TRAINING).exit_code == 2


@pytest.mark.parametrize("what", ["cancel", "stop"])
def test_cancel_and_stop_take_the_id_of_a_comparison_too(trainer, what):
    result = run(what, ID)

    assert result.output.startswith(f"Comparison {ID} ")
    assert [path for _, path, _ in trainer.asked] == [
        f"/v1/trainings/{ID}/{what}", f"/v1/comparisons/{ID}/{what}",
    ]  # fmt: skip
