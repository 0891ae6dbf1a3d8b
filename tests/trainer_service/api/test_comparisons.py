"""Comparisons over HTTP, on a real Redis; no worker runs, so they stay queued."""

import pytest

from tests.support.trainer.api_client import ARCHITECTURE, archive
from tests.support.trainer.builders import new_comparison_record, new_record
from trainer_service.queue.view import QueueView
from trainer_service.store.events.event_log import connect
from trainer_service.store.records.comparison_record import ComparisonState, Row, Verdict
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.integration

PATH = "/v1/comparisons"
ROW = Row(
    images=20, accuracy=0.9, accuracy_low=0.7, accuracy_high=0.97, loss=0.3, macro_f1=0.9,
    training_seconds=3.0, version_bytes=1000, multiply_adds=10**9,
)  # fmt: skip


def post(call, **fields):
    body = {"architectures": [ARCHITECTURE], "dataset": {"path": "pets"}} | fields
    return call("POST", PATH, json=body)


@pytest.fixture
def stores(settings):
    return Stores.open(settings)


@pytest.fixture
def ended(stores):
    """A comparison that has ended, with a training whose version is withheld."""
    record = new_comparison_record(ComparisonState.SUCCEEDED)
    training = new_record(State.SUCCEEDED)
    training.comparison, training.withheld = record.id, 1
    stores.trainings.create(training)
    record.candidates[0].training, record.candidates[0].row = training.id, ROW
    record.verdict = Verdict(
        best=ARCHITECTURE, recommended=ARCHITECTURE, distinct=True, sentence="It is the best."
    )
    stores.comparisons.create(record)
    return record


def test_a_comparison_is_queued_with_defaults_for_everything(call, redis_url):
    answer = post(call)
    record = answer.json()

    assert answer.status_code == 202, record
    assert answer.headers["location"] == f"{PATH}/{record['id']}"
    assert (record["state"], record["architectures"]) == ("queued", [ARCHITECTURE])
    assert (record["request"]["rounds"], record["request"]["publish"]) == ("halving", "recommended")
    steps = list(QueueView(connect(redis_url)).steps())
    assert steps == [f"comparison.advance:{record['id']}"]
    stored = call("GET", answer.headers["location"]).json()
    assert stored == {**record, "trainings": [], "report": None}
    assert call("GET", PATH).json() == [record]


def test_without_names_all_architectures_that_can_be_had_are_compared(call):
    body = {"dataset": {"path": "pets"}}

    assert call("POST", PATH, json=body).json()["architectures"] == [ARCHITECTURE]


def test_a_form_brings_the_images_and_lists_as_texts(call):
    form = {"architectures": ARCHITECTURE, "taps": "last,all", "split.test": "0.3"}
    record = call("POST", PATH, data=form, files=archive()).json()

    assert [one["name"] for one in record["candidates"]] == [
        f"{ARCHITECTURE}, taps last", f"{ARCHITECTURE}, taps all",
    ]  # fmt: skip
    assert record["request"]["split"]["test"] == 0.3
    assert call("GET", f"/v1/datasets/{record['dataset']['id']}").json()["source"] == "pets.zip"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"architectures": ["vgg16"]}, "weights of vgg16 are not available"),
        ({"architectures": ["alexnet"]}, "alexnet"),
        ({"architectures": []}, "architectures: List should have at least 1 item"),
        ({"taps": ["first"]}, "taps"),
        ({"dataset": None}, "dataset: expected the id of a dataset"),
        ({"tune": [{"from": "nowhere"}]}, "nowhere"),
        ({"tune": ["tail"], "head": ["layers"]}, "can't be trained: "),
        ({"architecture": "vgg16"}, "architecture"),
    ],
)
def test_what_can_not_be_compared_is_refused_and_nothing_is_left(call, fields, words):
    answer = post(call, **fields)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert call("GET", PATH).json() == []
    assert call("GET", "/v1/datasets").json() == []


def test_more_than_64_trainings_are_refused_with_their_number(call):
    tune = ["off", *({"blocks": number} for number in range(1, 17))]
    answer = post(call, taps=["auto", "last", "late", "all"], tune=tune)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(
        "A comparison has at most 64 trainings. Received: 68 (1 architectures, 4 taps, 17 tune"
    )


def test_the_same_request_with_the_same_key_makes_one(call):
    headers = {"Idempotency-Key": "k"}
    body = {"architectures": [ARCHITECTURE], "dataset": {"path": "pets"}}

    first, second = (call("POST", PATH, json=body, headers=headers).json() for _ in range(2))

    assert first == second
    assert len(call("GET", PATH).json()) == 1


def test_its_trainings_are_listed_there_and_not_among_the_others(call, ended):
    training = ended.candidates[0].training

    assert call("GET", "/v1/trainings").json() == []
    found = call("GET", f"{PATH}/{ended.id}").json()["trainings"]
    assert found == [
        {
            "id": training,
            "candidate": ARCHITECTURE,
            "round": "full",
            "state": "succeeded",
            "progress": None,
        }
    ]
    answer = call("DELETE", f"/v1/trainings/{training}")
    assert answer.status_code == 409
    assert f"belongs to comparison '{ended.id}'" in answer.json()["detail"]


def test_one_that_is_cancelled_cancels_its_trainings(call, stores, redis_url):
    record = new_comparison_record(ComparisonState.TRAINING)
    training = new_record()
    training.comparison, record.candidates[0].training = record.id, training.id
    stores.trainings.create(training)
    stores.comparisons.create(record)

    answer = call("POST", f"{PATH}/{record.id}/cancel")

    assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    assert stores.trainings.get(training.id).state == State.CANCELLED
    steps = list(QueueView(connect(redis_url)).steps())
    assert steps == [f"comparison.advance:{record.id}"]


def test_it_can_be_stopped_only_while_it_trains_on_all_images(call, stores):
    record = new_comparison_record(ComparisonState.FIRST_ROUND)
    stores.comparisons.create(record)

    answer = call("POST", f"{PATH}/{record.id}/stop")

    assert answer.status_code == 409
    assert "it is first_round. It can be cancelled." in answer.json()["detail"]
    stores.comparisons.update(record.id, lambda one: one.enter(ComparisonState.TRAINING))
    assert call("POST", f"{PATH}/{record.id}/stop").json()["stop_requested"] is True


@pytest.mark.parametrize("what", ["cancel", "stop"])
def test_one_that_has_ended_can_not_be_changed(call, ended, what):
    answer = call("POST", f"{PATH}/{ended.id}/{what}")

    assert answer.status_code == 409
    assert "has already ended: it is succeeded" in answer.json()["detail"]


def test_a_version_can_be_published_later(call, ended, redis_url):
    training = ended.candidates[0].training

    answer = call("POST", f"{PATH}/{ended.id}/publish", json={"training": training})

    assert (answer.status_code, answer.json()["to_publish"]) == (202, training)
    steps = list(QueueView(connect(redis_url)).steps())
    assert steps == [f"comparison.advance:{ended.id}"]
    assert call("DELETE", f"{PATH}/{ended.id}").status_code == 409


def test_what_has_no_version_can_not_be_published(call, stores, ended):
    unknown = call(
        "POST", f"{PATH}/{ended.id}/publish", json={"training": "20260101-000000-aaaaaa"}
    )
    assert unknown.status_code == 409
    assert "has no training" in unknown.json()["detail"]
    assert call("POST", f"{PATH}/{ended.id}/publish", json={"training": "x"}).status_code == 422

    training = ended.candidates[0].training

    def fail(record):
        record.candidates[0].row, record.candidates[0].error = None, "It failed."

    stores.comparisons.update(ended.id, fail)
    answer = call("POST", f"{PATH}/{ended.id}/publish", json={"training": training})
    assert answer.status_code == 409
    assert "has no version: It failed." in answer.json()["detail"]


def test_it_is_removed_with_its_trainings(call, stores, ended):
    assert call("DELETE", f"{PATH}/{ended.id}").status_code == 204
    assert call("GET", f"{PATH}/{ended.id}").status_code == 404
    assert stores.trainings.list() == []


def test_one_that_runs_can_not_be_removed_nor_its_dataset(call, stores):
    record = post(call).json()

    assert call("DELETE", f"{PATH}/{record['id']}").status_code == 409
    answer = call("DELETE", f"/v1/datasets/{record['dataset']['id']}")
    assert answer.status_code == 409
    words = f"is in use: comparison {record['id']!r} has not ended."
    assert words in answer.json()["detail"]


def test_a_damaged_one_is_told_and_can_be_removed(call, stores, ended):
    (stores.comparisons.directory(ended.id) / "record.json").write_text("{")

    assert call("GET", f"{PATH}/{ended.id}").status_code == 500
    assert call("GET", PATH).json() == []
    assert call("DELETE", f"{PATH}/{ended.id}").status_code == 204


def test_its_events_and_its_report(call, stores, ended):
    events = call("GET", f"{PATH}/{ended.id}/events", headers={"Accept": "application/json"}).json()

    assert [event["type"] for event in events["events"]] == [
        "comparison_state", "candidate", "comparison_result",
    ]  # fmt: skip
    assert events["ended"] is True
    assert call("GET", f"{PATH}/{ended.id}/report").status_code == 409
    stores.comparisons.page_file(ended.id).write_text("<h1>x</h1>")
    answer = call("GET", f"{PATH}/{ended.id}/report")
    assert (answer.text, answer.headers["content-type"]) == (
        "<h1>x</h1>", "text/html; charset=utf-8",
    )  # fmt: skip
    assert "sandbox" in answer.headers["content-security-policy"]
