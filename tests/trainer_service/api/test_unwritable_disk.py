"""A disk that refuses every change, whichever route asks for it."""

import errno
import os

import pytest

from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.refusing_disk import refuse_changes
from tests.support.trainer.api_client import ARCHITECTURE, archive, post
from tests.support.trainer.builders import make_dataset, new_record
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.integration

BODY = {"dataset": {"path": "pets"}, "architecture": ARCHITECTURE}
FORM = {"architecture": ARCHITECTURE}
KEY = {"Idempotency-Key": "once"}


def changes(call, settings):
    """Make one of each thing that can be changed; return the requests that change something."""
    stores = Stores.open(settings)
    running, ended = (new_record(state) for state in (State.HEAD, State.FAILED))
    for record in (running, ended):
        stores.trainings.create(record)
    stores.trainings.update(running.id, lambda record: None)  # which makes its lock
    waiting = post(call).json()["id"]
    read, unused = (make_dataset(stores.datasets, n, path=True, source="pets") for n in (1, 2))
    for _ in range(2):
        publish_tiny_model(settings.store, "pets")
    model = "/v1/models/pets"
    return [
        ("POST", "/v1/trainings", {"json": BODY}),
        ("POST", "/v1/trainings", {"json": BODY, "headers": KEY}),
        ("POST", "/v1/trainings", {"data": FORM, "files": archive()}),
        ("POST", "/v1/datasets", {"files": archive()}),
        ("PUT", f"/v1/datasets/{read}/reading", {"json": {"level": 1}}),
        ("DELETE", f"/v1/datasets/{unused}", {}),
        ("POST", f"/v1/trainings/{running.id}/stop", {}),
        ("POST", f"/v1/trainings/{running.id}/cancel", {}),
        ("POST", f"/v1/trainings/{waiting}/cancel", {}),
        ("DELETE", f"/v1/trainings/{ended.id}", {}),
        ("PUT", f"{model}/pin", {"json": {"version": 1}}),
        ("PUT", f"{model}/pin", {"json": {"version": None}}),
        ("DELETE", f"{model}/versions/1", {}),
    ]


def answered(call, asked):
    """Return the status, title and words of the answer to each request."""
    answers = [(path, call(method, path, **options)) for method, path, options in asked]
    return {
        (n, path): (answer.status_code, *map(answer.json().get, ("title", "detail")))
        for n, (path, answer) in enumerate(answers)
        if answer.content
    }


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOLCK, errno.EBUSY])
def test_one_that_can_not_be_used_now_is_told_by_every_route(call, settings, monkeypatch, number):
    asked = changes(call, settings)
    known = call("GET", "/v1/trainings").json()
    with monkeypatch.context() as patch:
        refuse_changes(patch, settings.store, number)
        answers = answered(call, asked)

    assert len(answers) == len(asked)
    for status, title, detail in answers.values():
        assert (status, title) == (503, "Unavailable"), answers
        assert os.strerror(number) in detail, answers
    assert call("GET", "/v1/trainings").json() == known


def test_one_that_is_full_is_told_by_every_route_that_needs_room(call, settings, monkeypatch):
    asked = changes(call, settings)
    with monkeypatch.context() as patch:
        refuse_changes(patch, settings.store, errno.ENOSPC)
        answers = answered(call, asked)

    told = (507, "Storage full", "There is no space left on the disk of the store.")
    refused = {path for (_, path), answer in answers.items() if answer == told}
    assert {"/v1/trainings", "/v1/datasets", "/v1/models/pets/pin"} <= refused
    assert {answer[0] for answer in answers.values()} == {200, 202, 507}, answers


@pytest.mark.parametrize("action", ["cancel", "stop"])
def test_a_training_that_has_filled_it_can_be_ended(call, settings, monkeypatch, action):
    stores = Stores.open(settings)
    record = new_record(State.HEAD)
    stores.trainings.create(record)
    stores.trainings.update(record.id, lambda record: None)  # which makes its lock
    with monkeypatch.context() as patch:
        refuse_changes(patch, settings.store, errno.ENOSPC)
        answer = call("POST", f"/v1/trainings/{record.id}/{action}")

    assert answer.status_code == 202, answer.text
    asked = stores.trainings.asked(record.id)
    assert (asked.cancel, asked.stop_after) == ((True, None) if action == "cancel" else (False, 1))
