"""Directories of the store that the service may not use: it names them, and goes on."""

import pytest

from tests.support.ordinary_user import closed, ordinary_user, reachable_directory
from tests.support.trainer.api_client import ARCHITECTURE, archive, caller, post

pytestmark = pytest.mark.integration

SENT_AGAIN = {"Idempotency-Key": "once"}


@pytest.fixture
def store():
    with reachable_directory() as directory:
        yield directory / "store"


@pytest.fixture
def user(settings, call, store):
    """The API as an ordinary user has it, and the id of that user."""
    list(requests(call))  # now all of it is imported
    (store.parent / "datasets" / "pets").mkdir(parents=True)
    places = {name: store.parent / name for name in ("store", "datasets", "weights")}
    own = settings.model_copy(update=places)
    with ordinary_user() as user_id:
        yield caller(own), user_id


def upload(call, path):
    return call("POST", path, data={"architecture": ARCHITECTURE}, files=archive())


def requests(call):
    """Send a request for each thing that the API does with its store."""
    record = post(call, dataset="pets").json()
    known = [f"/v1/trainings/{record.get('id', '20260101-000000-000000')}"]
    yield record if "status" in record else None
    for path in ("/v1/trainings", "/v1/datasets", "/v1/models", "/metrics", *known):
        yield problem(call("GET", path))
    for action in ("cancel", "stop"):
        yield problem(call("POST", f"{known[0]}/{action}"))
    for path in ("/v1/trainings", "/v1/datasets"):
        yield problem(upload(call, path))
    body = {"dataset": {"path": "pets"}, "architecture": ARCHITECTURE}
    yield problem(call("POST", "/v1/trainings", json=body, headers=SENT_AGAIN))


def problem(answer):
    return answer.json() if answer.status_code >= 400 else None


@pytest.mark.parametrize("mode", [0o000, 0o555])
@pytest.mark.parametrize("name", ["trainings", "datasets", "models", "uploads", "idempotency"])
def test_each_closed_directory_is_named_with_the_reason(user, store, name, mode):
    call, user_id = user
    (store / name).mkdir()
    with closed(store / name, mode):
        told = [answer for answer in requests(call) if answer is not None]
        ready = call("GET", "/readyz")
        metrics = call("GET", "/metrics")

    refused = [answer for answer in told if answer["status"] == 500]
    assert all(name.removesuffix("s") in answer["detail"] for answer in refused), refused
    assert all(f"denied (user id {user_id})" in answer["detail"] for answer in refused), refused
    assert refused or (name, mode) == ("models", 0o555)
    assert ready.status_code == 503
    assert ready.json()["problems"] == [
        f"{name} in the store can't be read and written by the user id {user_id}."
    ]
    unlisted = name in {"trainings", "datasets"} and mode == 0
    assert metrics.status_code == 200
    assert (f'unreadable_records{{kind="{name}"}} 1.0' in metrics.text) == unlisted

    assert post(call).status_code == 202
    assert call("GET", "/readyz").status_code == 200


def test_weights_that_may_not_be_read_are_named(user, store):
    call, user_id = user
    weights = store.parent / "weights"
    weights.mkdir()
    file = weights / f"{ARCHITECTURE}.weights.h5"
    file.touch()
    for path in (weights, file):
        with closed(path):
            answer = post(call)
            catalogue = call("GET", "/v1/architectures")
        reason = f"HEADSTART_WEIGHTS: {file} can't be read: Permission denied (user id {user_id})"
        assert answer.status_code == 422
        assert reason in answer.json()["detail"]
        details = {row["id"]: row["detail"] for row in catalogue.json()}
        assert details[ARCHITECTURE] == reason
