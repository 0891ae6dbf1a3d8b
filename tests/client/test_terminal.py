"""Names and labels that would control the terminal, through the real command."""

import io
import json
import re
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rich.console import Console
from typer.testing import CliRunner

from client.app import app
from client.terminal import printable
from client.training.show import shown
from tests.support.processes.http_server import serving

#: Sets the window's title, clears the screen, turns the direction; is markup, and an emoji's name.
EVIL = "[red]\x1b]0;evil\x07\x9b2J\r\n\u202egpj[/red] :cat: \\"
SHOWN = r"[red]\x1b]0;evil\x07\x9b2J\r\n\u202egpj[/red] :cat:" + " \\"
SCORES = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
RECORD = {
    "id": "1",
    "model": EVIL,
    "version": 1,
    "architecture": EVIL,
    "state": "succeeded",
    "progress": None,
    "error": None,
    "dataset": {
        "id": "d",
        "images": 1,
        "labels": {EVIL: 1},
        "label_count": 1,
        "rejected_count": 1,
        "rejected": [{"name": EVIL, "verdict": EVIL, "detail": EVIL}],
    },
    "cache": {"computed": 1, "reused": 0, "seconds_saved": 0.0},
    "metrics": {"test": {"accuracy": 1.0, "images": 1, "per_class": {EVIL: SCORES}}},
    "unknown": {"detail": EVIL},
    "promotion": {"served": False, "reason": EVIL},
}
VERSION = {
    "version": 1,
    "architecture": EVIL,
    "labels": [EVIL],
    "metrics": {},
    "created_at": "2026-01-31T23:59:59Z",
}
TOP = [{"label": EVIL, "probability": 0.5}] * 2
PREDICTION = {"label": EVIL, "probability": 0.5, "top": TOP}
PREDICTION |= {"known": 0.01, "unknown": True, "labels": [EVIL]}
DECISION = {"at": VERSION["created_at"], "version": 1, "served": True, "by": EVIL, "reason": EVIL}
MODEL = {"name": EVIL, "model": EVIL, "serving": 1, "pinned": 1, "decisions": [DECISION]}
SIZE = {"kind": EVIL, "bytes": 1, "files": 1}
USAGE = {"kinds": [SIZE], "models": [{"name": EVIL, "bytes": 1, "versions": []}], "complete": True}
USAGE |= {"bytes": 1, "free_bytes": 1, "disk_bytes": 1}
USAGE["removals"] = [
    SIZE | {"count": 1, "at": VERSION["created_at"], "setting": EVIL, "held": EVIL}
]
ANSWERS = {
    "GET /v1/models/pets/promotions": MODEL,
    "POST /v1/models/pets/promotions": MODEL,
    "POST /v1/models/pets/rollback": {"detail": EVIL},
    "POST /v1/models/pets/rename": {"detail": EVIL},
    "GET /v1/usage": USAGE,
    "GET /v1/trainings": [RECORD],
    "GET /v1/models": [
        {"name": EVIL, "pinned": None, "note": EVIL, "versions": [VERSION | {"alias": EVIL}]}
    ],
    "POST /v1/predict": {"predictions": [PREDICTION]},
    "POST /v1/trainings": RECORD,
    "GET /v1/datasets/d": {
        "layout": {"text": EVIL},
        "notes": [{"kind": "doubt", "text": EVIL}],
        "unused": [{"name": EVIL, "columns": [EVIL], "reason": EVIL}],
    },
    "POST /v1/trainings/1/cancel": {"detail": EVIL},
}
EVENTS = [
    {"id": 1, "type": "warning", "detail": EVIL},
    {"id": 2, "type": "result", "state": "succeeded"},
]


class Hostile(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer_any()

    def do_POST(self):
        self._answer_any()

    def _answer_any(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path.endswith("/events"):
            lines = "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS)
            return self._answer(200, "text/event-stream", lines)
        found = ANSWERS.get(f"{self.command} {path}", RECORD)
        status = 409 if "detail" in found else 200
        return self._answer(status, "application/json", json.dumps(found))

    def _answer(self, status, kind, text):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    with serving(HTTPServer(("127.0.0.1", 0), Hostile)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        (["trainings"], 2),
        (["models", "--predictor", "http://127.0.0.1:1"], 6),
        (["predict", "{picture}"], 3),
        (["train", "--dataset", "pets"], 14),
        (["promotions", "pets"], 3),
        (["promote", "pets", "1"], 1),
        (["rollback", "pets"], 1),
        (["rename", "pets", "dogs"], 1),
        (["usage"], 5),
        (["cancel", "1"], 1),
    ],
)
def test_characters_that_control_a_terminal_are_shown_escaped(
    url, tmp_path, monkeypatch, arguments, times
):
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("HEADSTART_TRAINER_URL", url)
    monkeypatch.setenv("HEADSTART_PREDICTOR_URL", url)
    monkeypatch.setattr("client.training.advice.SERVED_SECONDS", 0)
    (tmp_path / "a.jpg").write_bytes(b"picture")
    filled = [argument.format(picture=tmp_path / "a.jpg") for argument in arguments]
    done = CliRunner().invoke(app, filled)

    assert not done.exception or done.exit_code == 1, done.exception
    assert done.output.count(SHOWN) == times, done.output
    assert is_harmless(done.output)


def test_a_terminal_gets_only_the_escapes_of_its_bars():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=1000, color_system=None)
    with shown(console) as show:
        show(EVENTS[0])
    own = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

    assert SHOWN in output.getvalue()
    assert is_harmless(own.sub("", output.getvalue()))


def test_file_names_are_shown_escaped(tmp_path):
    folder = tmp_path / "a\x1b[2Jb"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "link\x07").symlink_to("nowhere")
    done = CliRunner().invoke(app, ["train", str(folder)])

    assert r"/a\x1b[2Jb/cat/link\x07: a link that leads nowhere" in done.stderr
    assert is_harmless(done.stderr)


@pytest.mark.parametrize(
    "text", ["cat", "Größe 5 m²", "猫\u3000犬", "10\u202f000", "👩\u200d🔬", "क्\u200cष", "a\\b"]
)
def test_what_people_write_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00\x7f\x85\t", r"\x00\x7f\x85\t"),
        ("\u2028\u2029\ufeff\u2066", r"\u2028\u2029\ufeff\u2066"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_invisible_characters_are_shown_escaped(text, shown):
    assert printable(text) == shown


def is_harmless(output):
    return all(line == printable(line) for line in output.split("\n"))
