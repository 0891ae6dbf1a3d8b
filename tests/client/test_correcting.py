"""Corrected labels come from a table, and are sent by the hashes of the images."""

import json

import httpx
import pytest
import typer
from typer.testing import CliRunner

from client import correcting, service
from client.app import app

DATASET = "20261123-153522-1f25fc"
CHILD = "20261124-101500-9c0d1e"
HASHES = {
    "cat/1.jpg": "1" * 64,
    "cat/2.jpg": "2" * 64,
    "twice.jpg": "3" * 64,
    "dog/1.jpg": "4" * 64,
    "copy.jpg": "1" * 64,
    "large.jpg": "",
}
IMAGES = [{"name": name, "sha256": sha256} for name, sha256 in HASHES.items()]
IMAGES.insert(3, {"name": "twice.jpg", "sha256": "5" * 64})
RECORD = {"id": CHILD, "parent": DATASET, "root": DATASET, "corrected": 3}


@pytest.fixture
def sent(monkeypatch):
    """Answers as a trainer whose pages have two images each; the bodies that it was sent."""
    bodies = []

    def answer(request):
        if request.method == "POST":
            bodies.append(json.loads(request.content))
            return httpx.Response(201, json=RECORD)
        after = int(request.url.params["after"])
        end = after + 2 if after + 2 < len(IMAGES) else None
        return httpx.Response(200, json={"images": IMAGES[after : after + 2], "after": end})

    transport, client = httpx.MockTransport(answer), httpx.Client
    monkeypatch.setattr(service.httpx, "Client", lambda **of: client(transport=transport, **of))
    return bodies


def run(directory, text, *options):
    table = directory / "table.csv"
    table.write_text(text)
    return CliRunner().invoke(
        app, ["correct", DATASET, str(table), *options], prog_name="headstart"
    )


def test_images_are_named_or_given_by_their_hashes(sent, tmp_path):
    text = f'file,label\ncat/1.jpg, dog \n{"9" * 64},\n\ndog/1.jpg,"a, b"\n'

    result = run(tmp_path, text)

    assert result.exit_code == 0, result.output
    assert sent == [{"1" * 64: "dog", "9" * 64: None, "4" * 64: "a, b"}]
    assert f"Dataset {CHILD} was made of dataset {DATASET}: 3 labels differ" in result.output
    assert f"Train on it: headstart train --dataset {CHILD}\n" in result.output


def test_the_advice_names_the_trainer_if_it_is_another(sent, tmp_path):
    result = run(tmp_path, "cat/1.jpg,dog\n", "--trainer", "http://far:8000")

    assert f"--dataset {CHILD} --trainer http://far:8000" in result.output


def test_with_json_the_record_is_printed_and_nothing_else(sent, tmp_path):
    assert json.loads(run(tmp_path, "cat/1.jpg,dog\n", "--json").output) == RECORD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cat/9.jpg,dog\n", "has no 'cat/9.jpg'"),
        ("twice.jpg,dog\n", "are called 'twice.jpg'"),
        ("cat/1.jpg,dog,owl\n", "line 1: expected an image and its label"),
        ("cat/1.jpg\n", "line 1: expected an image and its label"),
        ("cat/1.jpg,dog\ncat/1.jpg,cat\n", "line 2: 'cat/1.jpg' is there twice"),
        ("cat/1.jpg,dog\ncopy.jpg,\n", "'cat/1.jpg' and 'copy.jpg' are the same picture"),
        (f"{'1' * 64},dog\ncopy.jpg,owl\n", "Received: 'dog' and 'owl'."),
        ("large.jpg,dog\n", "'large.jpg' of dataset"),
        ("file,label\n", "lists no image"),
        ("", "lists no image"),
    ],
)
def test_a_table_that_can_not_be_sent_is_refused_in_words(sent, tmp_path, text, reason):
    result = run(tmp_path, text)

    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", "").split())
    assert sent == []


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(typer.BadParameter, match="can't be read as a table"):
        correcting.corrections_in(tmp_path / "table.csv")
