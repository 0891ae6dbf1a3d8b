"""The list of images whose label looks wrong, as the API gives it."""

from types import SimpleNamespace

import pytest

from shared.errors import Conflict, NotFound
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import new_record
from trainer_service.errors import RecordCorrupt
from trainer_service.requests.lists import ListQuery
from trainer_service.service.trainings import get_suspects
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.suspects import (
    MOST_SUSPECTS,
    SUSPECTS_FILE,
    Suspect,
    save_suspects,
)
from trainer_service.store.records.training_record import State, SuspectCount
from trainer_service.store.stores import Stores


def suspect(number):
    return Suspect(
        image=f"cat/{number}.jpg",
        sha256=f"{number:064x}",
        label="cat",
        proposed="dog",
        label_probability=0.125,
        proposed_probability=0.875,
        split="validation",
    )


@pytest.fixture
def settings(tmp_path):
    return TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def trainer(settings):
    return SimpleNamespace(stores=Stores.open(settings))


@pytest.fixture
def made(trainer):
    """Return a function that makes a training with so many suspects; it returns its id."""

    def make(count):
        record = new_record(State.PUBLISHING)
        record.suspects = SuspectCount(count=count, images=5000)
        trainer.stores.trainings.create(record)
        directory = trainer.stores.trainings.directory(record.id)
        save_suspects(directory, map(suspect, range(count)))
        return record.id

    return make


def test_suspects_come_in_pages(settings, made):
    path, call = f"/v1/trainings/{made(5)}/suspects", caller(settings)
    first = call("GET", path, params={"limit": 3}).json()
    second = call("GET", path, params={"limit": 3, "after": first["after"]}).json()

    assert [one["image"] for one in first["suspects"]] == ["cat/0.jpg", "cat/1.jpg", "cat/2.jpg"]
    assert second == {"suspects": [suspect(3).model_dump(), suspect(4).model_dump()], "after": None}
    assert call("GET", path).json()["after"] is None


def test_of_very_many_the_clearest_are_listed(trainer, made):
    training = made(MOST_SUSPECTS + 1)
    page = get_suspects(trainer, training, ListQuery(limit=MOST_SUSPECTS))
    assert (len(page.suspects), page.after) == (MOST_SUSPECTS, None)
    assert trainer.stores.trainings.get(training).suspects.count == MOST_SUSPECTS + 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [(State.HEAD, "it is head"), (State.SUCCEEDED, "an earlier release did it")],
)
def test_a_training_that_did_not_look_for_them_has_none(trainer, state, reason):
    record = new_record(state)
    trainer.stores.trainings.create(record)
    with pytest.raises(Conflict, match=reason):
        get_suspects(trainer, record.id, ListQuery())


def test_an_unknown_training_has_none(settings):
    answer = caller(settings)("GET", "/v1/trainings/20260101-000000-aaaaaa/suspects")
    assert answer.status_code == NotFound.status


@pytest.mark.parametrize("damage", ["gone", "half", "a line less"])
def test_a_damaged_list_is_named(trainer, made, damage):
    training = made(2)
    file = trainer.stores.trainings.directory(training) / SUSPECTS_FILE
    if damage == "gone":
        file.unlink()
    elif damage == "half":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(RecordCorrupt, match=f"trainings/{training}/{SUSPECTS_FILE}"):
        get_suspects(trainer, training, ListQuery())
