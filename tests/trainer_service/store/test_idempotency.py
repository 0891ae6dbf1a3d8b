"""A request that is sent twice makes one thing, on a real Redis that may be emptied meanwhile."""

import asyncio
import json
import shutil

import httpx
import pytest

from client.training.once import BEING_ANSWERED
from tests.support.trainer.api_client import ARCHITECTURE, archive, caller
from trainer_service.app import create_app
from trainer_service.queue.view import QUEUE
from trainer_service.store.events.event_log import connect
from trainer_service.store.files.lease import lease

pytestmark = pytest.mark.integration

KEY = {"Idempotency-Key": "3f1e"}
NOWHERE = "redis://127.0.0.1:1/0"


def post(call, headers=KEY, **fields):
    body = {"architecture": ARCHITECTURE, "dataset": {"path": "pets"}} | fields
    return call("POST", "/v1/trainings", json=body, headers=headers)


def upload(call, kind, file):
    form = {"architecture": ARCHITECTURE} if kind == "trainings" else {}
    return call("POST", f"/v1/{kind}", data=form, files=file, headers=KEY)


def only_use(settings):
    [file] = (settings.store / "idempotency").glob("*.json")
    return file


def test_the_same_key_gets_the_same_answer_though_redis_was_emptied(call, settings, redis_url):
    first = post(call)
    connect(redis_url).flushall()
    call("POST", f"{first.headers['location']}/cancel")
    again = post(caller(settings))

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert len(call("GET", "/v1/trainings").json()) == 1
    assert connect(redis_url).llen(QUEUE) == 0


def test_the_same_key_with_another_body_is_refused(call):
    made = post(call).json()["id"]
    refused = post(call, epochs=7)

    assert refused.status_code == 422
    assert made in refused.json()["detail"]
    assert len(call("GET", "/v1/trainings").json()) == 1


def test_other_keys_and_none_make_other_trainings(call):
    headers = [KEY, {"Idempotency-Key": "other"}, {}, {}]
    ids = {post(call, headers=each).json()["id"] for each in headers}
    assert len(ids) == 4


def test_a_field_that_is_told_at_its_default_is_the_same_body(call):
    assert post(call).json()["id"] == post(call, seed=0).json()["id"]


@pytest.mark.parametrize("kind", ["datasets", "trainings"])
def test_an_upload_is_known_by_its_bytes(call, settings, kind):
    first, again = (upload(call, kind, archive()) for _ in range(2))
    other = {"archive": ("pets.zip", archive()["archive"][1] + b" ")}
    refused = upload(call, kind, other)

    assert first.status_code == again.status_code == 202, first.text
    assert first.json() == again.json()
    assert refused.status_code == 422
    assert len(call("GET", "/v1/datasets").json()) == 1
    assert list((settings.store / "uploads").iterdir()) == []


def test_a_dataset_and_a_training_may_have_the_same_key(call):
    assert upload(call, "datasets", archive()).status_code == 202
    assert upload(call, "trainings", archive()).status_code == 202


def test_what_was_refused_has_not_used_up_its_key(settings):
    away = caller(settings.model_copy(update={"redis_url": NOWHERE}))
    here = caller(settings)
    assert post(away).status_code == 503
    assert post(here, architecture="alexnet").status_code == 422

    assert post(here).status_code == 202
    assert post(here).json()["id"] == here("GET", "/v1/trainings").json()[0]["id"]


@pytest.mark.parametrize("made", [False, True], ids=["before it was made", "once it was made"])
def test_a_request_whose_process_was_killed_is_finished(call, settings, made):
    """What it leaves behind: the key and the id, perhaps the record, and no answer."""
    id_ = post(call).json()["id"]
    file = only_use(settings)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": None}))
    if not made:
        (settings.store / "trainings" / id_ / "record.json").unlink()

    assert post(call).json()["id"] == post(call).json()["id"] == id_
    assert len(call("GET", "/v1/trainings").json()) == 1


def test_what_a_killed_request_has_made_is_not_made_again_when_it_can_not_be_read(call, settings):
    id_ = post(call).json()["id"]
    file = only_use(settings)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": None}))
    (settings.store / "trainings" / id_ / "record.json").write_text("{")

    for answer in (post(call), post(call)):
        assert answer.status_code == 409
        assert "can't be read any more" in answer.json()["detail"]
    assert len(list((settings.store / "trainings").glob("*/record.json"))) == 1


def test_a_request_that_was_killed_between_its_dataset_and_its_training_makes_no_second_dataset(
    call, settings
):
    answer = upload(call, "trainings", archive())
    file = only_use(settings)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": None}))
    shutil.rmtree(settings.store / "trainings")
    again = upload(call, "trainings", archive())

    assert again.status_code == 202
    assert again.json()["id"] == answer.json()["id"]
    [dataset] = call("GET", "/v1/datasets").json()
    assert again.json()["dataset"]["id"] == dataset["id"] == answer.json()["dataset"]["id"]
    assert (settings.store / "datasets" / dataset["id"] / "upload").is_file()


def test_while_it_can_not_be_finished_its_dataset_stays_and_no_second_is_made(call, settings):
    """Others may have come to use the dataset of a request that was killed in the middle."""
    dataset = upload(call, "trainings", archive()).json()["dataset"]["id"]
    file = only_use(settings)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": None}))
    shutil.rmtree(settings.store / "trainings")
    other = post(call, headers={}, dataset=dataset)
    assert other.status_code == 202

    for hindered in ({"redis_url": NOWHERE}, {"max_open_jobs": 1}):
        again = upload(caller(settings.model_copy(update=hindered)), "trainings", archive())
        assert again.status_code == 503
        assert call("GET", f"/v1/datasets/{dataset}").status_code == 200
    assert upload(call, "trainings", archive()).json()["dataset"]["id"] == dataset
    assert len(call("GET", "/v1/datasets").json()) == 1


def test_at_the_same_time_one_is_made_and_the_others_are_told_to_wait(settings):
    transport = httpx.ASGITransport(create_app(settings))
    body = {"architecture": ARCHITECTURE, "dataset": {"path": "pets"}}

    async def post_all():
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            posts = [client.post("/v1/trainings", json=body, headers=KEY) for _ in range(8)]
            return await asyncio.gather(*posts)

    answers = asyncio.run(post_all())
    made = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len(made) == 1


def test_while_another_request_with_the_key_is_answered_it_is_told_so(call, settings):
    post(call)
    with lease(only_use(settings).with_suffix(".lease")):
        answer = post(call)
    assert answer.status_code == 409
    assert BEING_ANSWERED in answer.json()["detail"]


def damage_answer(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": {"id": "x"}}))


def damage_id(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answer": None, "id": "../x"}))


def make_directory(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_text(""),
        lambda file: file.write_text("[" * 5000),
        damage_answer,
        damage_id,
        make_directory,
    ],
)
def test_a_key_whose_file_is_damaged_is_told_in_words_and_makes_nothing(call, settings, damage):
    made = post(call).json()["id"]
    damage(only_use(settings))
    answer = post(call)

    assert answer.status_code == 409
    assert "send the request with a new key" in answer.json()["detail"]
    assert [record["id"] for record in call("GET", "/v1/trainings").json()] == [made]
    assert post(call, headers={"Idempotency-Key": "new"}).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed"])
def test_a_key_that_is_none_is_refused(call, key):
    answer = post(call, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.idempotency-key"
