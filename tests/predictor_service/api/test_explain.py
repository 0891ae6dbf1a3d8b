"""Heatmaps over HTTP, from a real predictor."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from client.app import app
from shared.models.model_store import OPENVINO_MODEL
from tests.support.inputs.explainable_model import halves, publish_explainable_model
from tests.support.inputs.tiny_model import SIZE, picture, publish_tiny_model
from tests.support.processes.predictor_process import running_predictor, wait_for

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def explaining(tmp_path_factory):
    """A predictor with two models: one can be explained, the other is of an earlier release."""
    directory = tmp_path_factory.mktemp("explaining")
    publish_explainable_model(directory / "store")
    publish_tiny_model(directory / "store", "early")
    limits = {"max_explained": 4, "max_files": 8}
    with running_predictor(directory / "store", directory / "log", **limits) as predictor:
        predictor.wait_until_ready()
        yield predictor


def ask(predictor, data, explain, model="colours", **more):
    parameters = {"model": model, "explain": explain, **more}
    return httpx.post(
        f"{predictor.url}/v1/predict",
        params={name: value for name, value in parameters.items() if value is not None},
        content=data,
        headers={"content-type": "application/octet-stream"},
        timeout=30,
    )


@pytest.mark.parametrize(("label", "side"), [("red", slice(0, 7)), ("blue", slice(7, 14))])
def test_the_heat_of_a_label_lies_where_its_colour_is(explaining, label, side):
    answer = ask(explaining, halves("red", "blue"), label)

    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    heat, grid = prediction["heat"], np.array(prediction["heat"]["grid"])
    assert heat["label"] == label
    assert grid.shape == (14, 14)
    assert grid[:, side].sum() > 0 > grid.sum() - grid[:, side].sum()
    assert grid.sum() + heat["rest"] == pytest.approx(heat["score"], abs=1e-3)
    image = Image.open(io.BytesIO(base64.b64decode(heat["png"])))
    assert (image.format, image.size) == ("PNG", (SIZE, SIZE))


def test_the_score_is_that_of_the_answer(explaining):
    (prediction,) = ask(explaining, picture((120, 100, 90)), "green").json()["predictions"]

    logarithms = {one["label"]: np.log(one["probability"]) for one in prediction["top"]}
    expected = logarithms["green"] - np.mean(list(logarithms.values()))
    assert prediction["heat"]["score"] == pytest.approx(expected, abs=0.05)


def test_top_explains_the_likeliest_label(explaining):
    (prediction,) = ask(explaining, picture("green"), "top").json()["predictions"]

    assert prediction["label"] == prediction["heat"]["label"] == "green"


def test_whoever_does_not_ask_gets_none(explaining):
    (plain,) = ask(explaining, picture("red"), None).json()["predictions"]
    (explained,) = ask(explaining, picture("red"), "top").json()["predictions"]

    assert "heat" not in plain
    assert explained.pop("heat")
    assert explained == plain, "the same answer, and a heatmap"


def test_files_that_are_no_images_get_their_errors_beside_the_heatmaps(explaining):
    files = [("file", ("a.png", picture("red"))), ("file", ("b.txt", b"no image"))]

    answer = httpx.post(
        f"{explaining.url}/v1/predict", params={"model": "colours", "explain": "top"}, files=files
    )

    sound, damaged = answer.json()["predictions"]
    assert sound["heat"]["label"] == "red"
    assert damaged["error"]["status"] == 422


def test_an_unknown_label_is_refused_with_those_that_exist(explaining):
    answer = ask(explaining, picture("red"), "mauve")

    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "`explain` should be 'top' or a label of model 'colours': red, green, blue. "
        "Received: 'mauve'."
    )


def test_a_version_of_an_earlier_release_is_to_be_trained_again(explaining):
    answer = ask(explaining, picture("red"), "top", "early")

    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "Version 1 of model 'early' was published before heatmaps could be made. "
        "Train again to get them."
    )
    models = httpx.get(f"{explaining.url}/v1/models").json()["models"]
    assert {model["name"]: model["heatmaps"] for model in models} == {
        "colours": True,
        "early": False,
    }


def test_too_many_at_once_get_503_and_plain_requests_are_answered(explaining):
    files = [("file", (f"{n}.png", picture("red", size=1500))) for n in range(8)]

    def explained(_):
        return httpx.post(
            f"{explaining.url}/v1/predict",
            params={"model": "colours", "explain": "top"},
            files=files,
            timeout=60,
        )

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(explained, number) for number in range(6)]
        plain = [ask(explaining, picture("green"), None) for _ in range(20)]
        answers = [one.result() for one in asked]

    assert {one.status_code for one in plain} == {200}
    assert {one.status_code for one in answers} == {200, 503}
    (refused, *_) = (one for one in answers if one.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["detail"].startswith("HEADSTART_MAX_EXPLAINED allows 4 images")
    assert ask(explaining, picture("red"), "top").status_code == 200, "there is room again"


def test_a_version_whose_graph_has_gone_is_answered_without_heatmaps(store, start_predictor):
    publish_explainable_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    graph = store / "models" / "colours" / "1" / OPENVINO_MODEL
    contents = graph.read_bytes()
    graph.unlink()

    refused = ask(predictor, picture("red"), "top")
    assert refused.status_code == 503
    assert "openvino/model.xml is missing" in refused.json()["detail"]
    assert ask(predictor, picture("red"), None).status_code == 200

    graph.write_bytes(contents)
    wait_for(lambda: ask(predictor, picture("red"), "top").status_code == 200, "heatmaps", 10)


def test_a_newer_version_answers_with_its_own_heatmaps(store, start_predictor):
    publish_explainable_model(store)
    predictor = start_predictor(poll_seconds=0.05)
    predictor.wait_until_ready()
    assert ask(predictor, picture("red"), "top").status_code == 200

    publish_explainable_model(store)

    def newer():
        (prediction,) = ask(predictor, picture("red"), "top").json()["predictions"]
        return prediction["version"] == 2 and prediction["heat"]["label"] == "red"

    wait_for(newer, "the second version", 10)


def run(predictor, *arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments), "--predictor", predictor.url])


def test_the_command_writes_a_png_for_each_image(explaining, tmp_path):
    images = [tmp_path / folder / "a.png" for folder in ("one", "two")]
    for image, colour in zip(images, ("red", "blue"), strict=True):
        image.parent.mkdir()
        image.write_bytes(picture(colour))
    out = tmp_path / "heat" / "maps"

    done = run(explaining, *images, "--model", "colours", "--explain", out, "--json")

    assert done.exit_code == 0, done.output
    heat = [one["heat"] for one in json.loads(done.stdout)["predictions"]]
    assert [one["label"] for one in heat] == ["red", "blue"]
    assert [one["png"] for one in heat] == [
        str(out / "a.png.heat.png"),
        str(out / "a.png.2.heat.png"),
    ]
    for one in heat:
        with Image.open(one["png"]) as image:
            assert image.size == (SIZE, SIZE)


def test_the_command_asks_for_the_label_that_is_named(explaining, tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(halves("red", "blue"))
    asked = ("--model", "colours", "--explain", tmp_path / "out", "--explain-label")

    done = run(explaining, image, *asked, "blue", "--json")
    refused = run(explaining, image, *asked, "mauve")

    (prediction,) = json.loads(done.stdout)["predictions"]
    assert prediction["heat"]["label"] == "blue"
    assert refused.exit_code == 1
    assert "Received: 'mauve'" in refused.stderr


def test_the_command_says_what_it_can_not_write_and_what_it_misses(explaining, tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(picture("red"))

    unwritable = run(explaining, image, "--model", "colours", "--explain", image / "out")
    alone = run(explaining, image, "--model", "colours", "--explain-label", "red")

    assert unwritable.exit_code == 1
    assert unwritable.stderr.startswith(f"--explain: {image}")
    assert alone.exit_code == 2
    assert "expected --explain DIRECTORY beside it" in alone.stderr
