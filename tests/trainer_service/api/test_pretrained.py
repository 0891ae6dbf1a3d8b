"""Asks the API for a pre-trained network; no worker runs, so it stays queued."""

from functools import partial

import pytest

from tests.support.trainer.api_client import ARCHITECTURE
from trainer_service.backbones import weights
from trainer_service.queue.view import QUEUE
from trainer_service.store.events.event_log import connect
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.integration

CATS = ["tabby cat", "tiger cat"]


def ask(call, headers=None, **fields):
    body = {"name": "imagenet", "pretrained": ARCHITECTURE} | fields
    return call("POST", "/v1/models", json=body, headers=headers or {})


def test_it_is_queued_and_followed_as_a_training(call, redis_url):
    answer = ask(call)
    record = answer.json()

    assert answer.status_code == 202, record
    assert answer.headers["location"] == f"/v1/trainings/{record['id']}"
    assert (record["state"], record["model"]) == ("queued", "imagenet")
    assert record["pretrained"]["pretrained"] == ARCHITECTURE
    assert record["dataset"]["id"] is None
    assert connect(redis_url).llen(QUEUE) == 1
    assert call("GET", answer.headers["location"]).json() == record
    assert call("GET", "/v1/trainings").json()[0]["pretrained"] == record["pretrained"]


def test_lists_leave_out_the_names_of_classes(call):
    ask(call, classes={"cat": CATS}, rest="none of them")

    [listed] = call("GET", "/v1/trainings").json()

    assert listed["pretrained"]["pretrained"] == ARCHITECTURE
    assert listed["pretrained"]["classes"] is None


def test_it_has_no_suspects_and_says_why(call):
    record = ask(call).json()

    answer = call("GET", f"/v1/trainings/{record['id']}/suspects")

    assert answer.status_code == 409
    assert "without images" in answer.json()["detail"]


def test_it_can_be_cancelled_before_a_worker_takes_it(call):
    record = ask(call).json()

    answer = call("POST", f"/v1/trainings/{record['id']}/cancel")

    assert answer.json()["state"] == "cancelled"
    assert call("DELETE", f"/v1/trainings/{record['id']}").status_code == 204


def test_an_idempotency_key_makes_one_job(call, monkeypatch):
    first = ask(call, {"Idempotency-Key": "a"}, classes={"cat": CATS}).json()
    monkeypatch.setattr(weights, "_package_file", lambda: None)
    again = ask(call, {"Idempotency-Key": "a"}, classes={"cat": CATS})
    other = ask(call, {"Idempotency-Key": "a"}, classes={"cat": CATS[:1]})

    assert again.json()["id"] == first["id"]
    assert other.status_code == 422
    assert len(call("GET", "/v1/trainings").json()) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"pretrained": "alexnet"}, "`pretrained` should be one of mobilenet_v2"),
        ({"classes": ["cats"]}, "Did you mean 'tabby cat'"),
        ({"classes": {"cat": CATS, "feline": CATS[:1]}}, "'tabby cat' is there 2 times"),
        ({"classes": []}, "at least 1 item"),
        ({"classes": "zebra"}, "a list of classes, or an object"),
        ({"rest": "nothing of it"}, "without them all classes are answered"),
        ({"classes": ["zebra"], "rest": None}, "at least two labels"),
        ({"name": "../x"}, "name"),
        ({"pretrained": "vgg16"}, "vgg16 with its classifier for ImageNet are not available"),
        ({"epochs": 3}, "epochs"),
    ],
)
def test_what_can_not_be_published_is_refused_at_once(call, redis_url, fields, reason):
    answer = ask(call, **fields)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert call("GET", "/v1/trainings").json() == []
    assert connect(redis_url).llen(QUEUE) == 0


def test_two_pretrained_networks_have_no_test_images_to_compare(call, settings):
    one, other = (ask(call).json()["id"] for _ in range(2))
    for number, training_id in enumerate((one, other), 1):
        Stores.open(settings).trainings.update(training_id, partial(succeed, version=number))

    answer = call("GET", f"/v1/trainings/{one}/compare?with={other}")

    assert answer.status_code == 422
    assert "expected two trainings with test images" in answer.json()["detail"]


def succeed(record, version):
    record.version = version
    record.enter(State.SUCCEEDED)


def test_the_classes_are_listed_and_so_is_what_can_be_published(call):
    classes = call("GET", "/v1/imagenet-classes").json()["classes"]
    rows = {row["id"]: row["classifier"] for row in call("GET", "/v1/architectures").json()}

    assert len(classes) == 1000
    assert "tabby cat" in classes
    assert rows[ARCHITECTURE]["available"]
    assert not rows["vgg16"]["available"]
    assert "vgg16_weights_tf_dim_ordering_tf_kernels.h5" in rows["vgg16"]["detail"]
