"""Notes, aliases, names and removal of models, as the API changes them."""

import pytest

from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.builders import new_record
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

pytestmark = pytest.mark.process


@pytest.fixture
def pets(settings, call):
    """Send a request about a model with two versions, and return its answer."""
    publish_tiny_model(settings.store, "pets")
    publish_tiny_model(settings.store, "pets")

    def ask(method, path="", **options):
        return call(method, f"/v1/models/pets{path}", **options)

    return ask


def test_notes_and_aliases_are_in_the_answer_and_in_the_list(pets, call):
    first = pets("PATCH", "/versions/1", json={"note": " Good. ", "alias": "champion"})
    moved = pets("PATCH", "/versions/2", json={"alias": "champion"})
    noted = pets("PATCH", json={"note": "Cats and dogs."})

    assert [answer.status_code for answer in (first, moved, noted)] == [200, 200, 200]
    shown = [(v["version"], v["alias"], v["note"]) for v in noted.json()["versions"]]
    assert shown == [(2, "champion", None), (1, None, "Good.")]
    assert noted.json()["note"] == "Cats and dogs."
    assert call("GET", "/v1/models").json() == [noted.json()]
    removed = pets("PATCH", "/versions/1", json={"note": None}).json()
    assert [version["note"] for version in removed["versions"]] == [None, None]


WRONG = [
    ({}, "Expected note or alias"),
    ({"alias": "7"}, "a word of up to 40 small letters"),
    ({"alias": "latest"}, "none of latest"),
    ({"alias": "Champion"}, "small letters"),
    ({"alias": "a" * 41}, "up to 40"),
    ({"alias": ""}, "small letters"),
    ({"alias": 7}, "string"),
    ({"note": "x" * 501}, "at most 500"),
    ({"note": " \n"}, "null removes"),
    ({"note": "bell\x07"}, "control characters"),
    ({"notes": "x"}, "no such field"),
]


def test_a_wrong_note_or_alias_is_refused(pets):
    before = pets("GET").json()

    for body, words in WRONG:
        answer = pets("PATCH", "/versions/1", json=body)
        assert answer.status_code == 422, body
        assert words in answer.json()["detail"], body
    assert pets("GET").json() == before


def test_what_is_not_there_gets_404(pets, call):
    asked = [
        pets("PATCH", "/versions/7", json={"note": "x"}),
        call("PATCH", "/v1/models/nobody", json={"note": "x"}),
        call("DELETE", "/v1/models/nobody?force=true"),
        pets("DELETE", "/versions/7?force=true"),
        call("POST", "/v1/models/nobody/rename", json={"name": "dogs"}),
    ]

    assert [answer.status_code for answer in asked] == [404] * 5


def test_a_served_version_and_its_model_are_removed_with_force_only(pets, call):
    refused = pets("DELETE", "/versions/2"), pets("DELETE")
    assert [answer.status_code for answer in refused] == [409, 409]
    assert "force=true" in refused[1].json()["detail"]
    assert pets("DELETE", "?force=maybe").status_code == 422

    assert pets("DELETE", "/versions/2?force=true").status_code == 204
    assert [v["version"] for v in pets("GET").json()["versions"]] == [1]
    assert pets("DELETE", "?force=true").status_code == 204
    assert call("GET", "/v1/models").json() == []


def test_a_model_gets_another_name(pets, call, settings):
    publish_tiny_model(settings.store, "birds")

    taken = pets("POST", "/rename", json={"name": "birds"})
    wrong = pets("POST", "/rename", json={"name": "../birds"})
    renamed = pets("POST", "/rename", json={"name": "dogs"})

    assert [answer.status_code for answer in (taken, wrong, renamed)] == [409, 422, 200]
    assert (renamed.json()["name"], renamed.json()["formerly"]) == ("dogs", ["pets"])
    assert [v["version"] for v in renamed.json()["versions"]] == [2, 1]
    assert pets("GET").status_code == 404
    assert call("GET", "/v1/models/dogs").json() == renamed.json()


@pytest.mark.parametrize("name", ["pets", "dogs"])
def test_a_model_keeps_its_name_while_a_training_publishes_to_it(pets, settings, name):
    record = new_record()
    record.model = name
    Stores.open(settings).trainings.create(record)

    refused = pets("POST", "/rename", json={"name": "dogs"})
    assert refused.status_code == 409
    assert record.id in refused.json()["detail"]

    Stores.open(settings).trainings.update(record.id, lambda one: one.enter(State.CANCELLED))
    assert pets("POST", "/rename", json={"name": "dogs"}).status_code == 200
