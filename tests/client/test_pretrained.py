"""What `headstart pretrained` sends, and what it says of the version."""

import json

import httpx
import pytest
from typer.testing import CliRunner

from client import service
from client.app import app

ID = "20261123-153522-1f25fc"
RECORD = {
    "id": ID,
    "model": "pets",
    "architecture": "efficientnet_lite0",
    "state": "succeeded",
    "version": 2,
    "pretrained": {"classes": {"cat": ["tabby cat"], "dog": ["pug"]}, "rest": "other"},
    "head": {"detail": "The network's own classifier."},
    "unknown": {"detail": "No verdict: there are no training images."},
}


@pytest.fixture
def sent(monkeypatch):
    """Answers as a trainer that has published it, and a predictor; the bodies that were posted."""
    bodies = []

    def answer(request):
        if request.method == "POST":
            bodies.append((request.url.path, json.loads(request.content)))
            return httpx.Response(202, json=RECORD | {"state": "queued"})
        if request.url.path.endswith("/events"):
            event = json.dumps({"id": 1, "type": "result", "state": "succeeded"})
            kind = {"Content-Type": "text/event-stream"}
            return httpx.Response(200, text=f"id: 1\ndata: {event}\n\n", headers=kind)
        if request.url.path == "/v1/models/pets":
            return httpx.Response(200, json={"version": 2, "versions": [2], "pinned": None})
        return httpx.Response(200, json=RECORD)

    transport, client = httpx.MockTransport(answer), httpx.Client
    monkeypatch.setattr(service.httpx, "Client", lambda **of: client(transport=transport, **of))
    return bodies


def run(*options):
    command = ["pretrained", "pets", "efficientnet_lite0", *options]
    return CliRunner().invoke(app, command, prog_name="headstart")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ([], {}),
        (["--classes", "tabby cat, pug"], {"classes": ["tabby cat", "pug"]}),
        (
            ["--group", "cat=tabby cat,tiger cat", "--group", "dog = pug", "--rest", "none"],
            {"classes": {"cat": ["tabby cat", "tiger cat"], "dog": ["pug"]}, "rest": "none"},
        ),
        (["--classes", "pug, Boxer", "--no-rest"], {"classes": ["pug", "Boxer"], "rest": None}),
    ],
)
def test_options_become_fields(sent, options, fields):
    result = run("--detach", *options)

    assert result.exit_code == 0, result.output
    whole = {"name": "pets", "pretrained": "efficientnet_lite0"}
    assert sent == [("/v1/models", whole | fields)]
    assert f"Job {ID} is queued." in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--classes", "pug", "--group", "dog=pug"],
        ["--group", "dog"],
        ["--classes", "pug", "--rest", "x", "--no-rest"],
    ],
)
def test_what_contradicts_itself_is_wrong_usage(sent, options):
    assert run(*options).exit_code == 2
    assert sent == []


def test_it_is_followed_and_said_what_was_published(sent):
    result = run("--group", "cat=tabby cat", "--group", "dog=pug")

    assert result.exit_code == 0, result.output
    assert "No verdict: there are no training images." in result.output
    assert "efficientnet_lite0 as it was pre-trained, with 2 labels, published as" in result.output
    assert "curl -F file=@image.jpg 'http://127.0.0.1:8001/v1/predict?model=pets'" in result.output


def test_with_json_the_record_is_printed_and_nothing_else(sent):
    assert json.loads(run("--json").output) == RECORD
