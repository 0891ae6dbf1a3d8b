"""What the predictor says of pictures that are unlike those that a version was trained on."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from shared.arrays import MOST_FILE_BYTES
from shared.models.manifest import PretrainedInfo
from shared.models.model_store import OPENVINO_MODEL
from shared.models.prediction_sets import COVERAGE_FILE, pack_doubts
from shared.models.unknown import UNKNOWN_FILE
from tests.predictor_service.api.test_endpoints import problem
from tests.support.inputs.tiny_model import (
    carry_known_images,
    picture,
    publish_tiny_model,
    save_network,
)
from tests.support.processes.predictor_process import running_predictor

pytestmark = pytest.mark.process

#: Of known pictures from those that are carried: 0.001, 0.002, …
DISTANCES = np.arange(1, 40) / 1000
GREY = (128, 128, 128)


AS_IT_IS = PretrainedInfo(no_heatmaps="Groups have no heat.", detail="As it is.")


def carry(staging, distances=DISTANCES):
    carry_known_images(staging, distances=distances)
    doubts = np.linspace(0, 0.99, 39, dtype=np.float32)
    (staging / COVERAGE_FILE).write_bytes(pack_doubts(doubts))


def carry_few(staging):
    carry(staging, DISTANCES[:12])


def carry_other_widths(staging):
    carry(staging)
    save_network(staging / OPENVINO_MODEL)


def carry_noise(staging):
    carry(staging)
    (staging / UNKNOWN_FILE).write_bytes(b"noise")


def carry_too_much(staging):
    carry(staging)
    with (staging / UNKNOWN_FILE).open("ab") as file:
        file.truncate(MOST_FILE_BYTES + 1)


def carry_doubtful_doubts(staging):
    (staging / COVERAGE_FILE).write_bytes(b"noise")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    directory = tmp_path_factory.mktemp("unknown")
    store = directory / "store"
    publish_tiny_model(store, "carrying", change=carry)
    publish_tiny_model(store, "few", change=carry_few)
    publish_tiny_model(store, "earlier")
    publish_tiny_model(store, "pretrained", pretrained=AS_IT_IS)
    with running_predictor(store, directory / "log") as predictor:
        predictor.wait_until_ready()
        for model in ("carrying", "few", "earlier", "pretrained"):
            predictor.wait_for_version(1, model)
        yield SimpleNamespace(store=store, process=predictor, ask=partial(ask, predictor))


def ask(predictor, model, *pictures, **named):
    return predictor.predict(*pictures, model=model, **named)


def one(response):
    assert response.status_code == 200, response.text
    return response.json()["predictions"][0]


def test_a_picture_like_those_of_the_training_is_known(predictor):
    answer = one(predictor.ask("carrying", picture("green")))

    assert (answer["known"], answer["unknown"]) == (1, False)
    assert answer["nearest"][0] == {
        "image": f"{1:064x}",
        "distance": pytest.approx(0, abs=1e-3),
    }
    assert {near["image"] for near in answer["nearest"]} == {f"{n:064x}" for n in range(3)}
    assert "labels" not in answer


def test_a_picture_unlike_all_of_them_is_unknown_whatever_its_probability(predictor):
    answers = predictor.ask("carrying", picture(GREY), picture("red")).json()["predictions"]

    assert [answer["unknown"] for answer in answers] == [True, False]
    assert answers[0]["known"] == pytest.approx(1 / 40)
    assert answers[0]["nearest"][0]["distance"] > DISTANCES.max()


def test_the_rate_of_false_alarms_can_be_asked_for(predictor):
    between = picture((230, 60, 20))  # its distance is in the middle of those of known pictures
    known = one(predictor.ask("carrying", between))["known"]

    answers = [
        one(predictor.ask("carrying", between, false_alarms=rate))
        for rate in (known + 0.001, known - 0.001)
    ]
    assert 0.1 < known < 0.9
    assert [answer["unknown"] for answer in answers] == [True, False]


@pytest.mark.parametrize("field", ["false_alarms", "coverage"])
@pytest.mark.parametrize("value", ["0", "1", "-1", "nan", "some"])
def test_an_impossible_share_is_refused_by_name(predictor, field, value):
    body = problem(predictor.ask("carrying", picture("red"), **{field: value}), 422)

    assert body["errors"][0]["field"] == field


@pytest.mark.parametrize(("model", "rate", "words"), [
    ("carrying", 0.01, "carries the distances of 39 pictures, with which it can tell 0.025 at lea"),
    ("carrying", 1e-320, "it can tell 0.025 at least"),
    ("few", 0.05, "of 12 pictures, with which it can tell 0.077 at least; expected 19"),
    ("earlier", 0.05, "was published without the images to compare with"),
    ("pretrained", 0.05, "as a pre-trained network has no training images to compare with"),
])  # fmt: skip
def test_a_rate_that_a_version_can_t_tell_is_refused_with_the_reason(predictor, model, rate, words):
    body = problem(predictor.ask(model, picture("red"), false_alarms=rate), 422)

    assert words in body["detail"]
    assert body["detail"].endswith(f"Received: {rate:g}.")
    assert len(body["detail"]) < 300


def test_with_too_few_distances_there_is_no_verdict_but_at_a_higher_rate(predictor):
    answer = one(predictor.ask("few", picture(GREY)))
    assert (answer["known"], answer["unknown"]) == (pytest.approx(1 / 13), None)
    assert len(answer["nearest"]) == 3

    assert one(predictor.ask("few", picture(GREY), false_alarms=0.1))["unknown"]


def test_a_version_of_an_earlier_release_answers_as_before(predictor):
    answer = one(predictor.ask("earlier", picture("red")))

    assert answer["label"] == "red"
    assert (answer["known"], answer["unknown"], answer["nearest"]) == (None, None, [])


def test_a_pretrained_network_says_why_it_has_no_heatmaps_and_names_no_dataset(predictor):
    body = problem(predictor.ask("pretrained", picture("red"), explain="top"), 409)

    assert body["detail"] == "Version 1 of model 'pretrained' has no heatmaps. Groups have no heat."
    described = predictor.process.model("pretrained")
    assert (described["dataset"], described["heatmaps"]) == (None, False)


def test_as_many_labels_are_answered_as_a_coverage_takes(predictor):
    grey = picture(GREY)

    assert one(predictor.ask("carrying", picture("red"), coverage=0.95))["labels"] == ["red"]
    assert len(one(predictor.ask("carrying", grey, coverage=0.95))["labels"]) == 3
    assert len(one(predictor.ask("carrying", grey, coverage=0.3))["labels"]) == 1


@pytest.mark.parametrize(("model", "words"), [
    ("carrying", "was validated with 39 pictures, which can vouch for 0.975 at most"),
    ("earlier", "was published by an earlier release"),
    ("pretrained", "as a pre-trained network was validated with no pictures"),
])  # fmt: skip
def test_a_coverage_that_a_version_can_t_vouch_for_is_refused(predictor, model, words):
    body = problem(predictor.ask(model, picture("red"), coverage=0.99), 422)

    assert words in body["detail"]
    assert body["detail"].endswith("Received: 0.99.")


@pytest.mark.parametrize(("change", "reason"), [
    (carry_noise, "unknown.npz: it should be a file of arrays"),
    (carry_too_much, "unknown.npz can't be read: it should have at most 5000000 bytes"),
    (carry_other_widths, "should answer with an 'embedding' of shape (1, 3)"),
    (carry_doubtful_doubts, "coverage.npz: it should be a file of arrays"),
])  # fmt: skip
def test_what_does_not_fit_the_network_is_not_served(predictor, change, reason):
    version = publish_tiny_model(predictor.store, change=change)

    assert reason in predictor.process.wait_for_quarantine(version)
