"""Two trainings are compared by what they answer to the test images that both have."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from shared.identifiers import new_id
from shared.models.model_store import REPORT_FILE
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import new_record
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

LINE = "20261123-153522-1f25fc"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def rows(*answers):
    """Rows of a report: hash, label, answer, and how sure that is."""
    names = ("image", "sha256", "label", "predicted", "probability")
    return [dict(zip(names, (f"{one[0]}.png", *one), strict=True)) for one in answers]


OLD = rows(
    ("a", "cat", "cat", 0.9),
    ("b", "cat", "dog", 0.8),
    ("c", "dog", "dog", 0.7),
    ("d", "dog", "cat", 0.6),
    ("e", "cat", "cat", 0.9),
    ("gone", "cat", "cat", 0.9),
)
#: The label of e was wrong: what the old training answered is judged by the new one.
NEW = rows(
    ("a", "cat", "cat", 0.95),
    ("b", "cat", "cat", 0.6),
    ("c", "dog", "cat", 0.55),
    ("d", "dog", "cat", 0.7),
    ("e", "dog", "dog", 0.8),
    ("new", "dog", "dog", 0.9),
)


class Scene:
    def __init__(self, settings):
        self.stores = Stores.open(settings)
        self.call = caller(settings)

    def training(self, test, hour=0, version=1, dataset=LINE, **fields):
        """Make a training that has published a version with these answers; None: no report."""
        model = f"m{new_id()[-6:]}"
        record = new_record(State.SUCCEEDED, at=NOON + timedelta(hours=hour), dataset=dataset)
        record.model, record.version = model, version
        for name, value in fields.items():
            setattr(record.dataset, name, value)
        self.stores.trainings.create(record)
        file = self.stores.models.root / model / str(version) / REPORT_FILE
        if test is not None:
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps({"test": test}))
        return record.id

    def compare(self, one, other, **query):
        answer = self.call("GET", f"/v1/trainings/{one}/compare", params={"with": other} | query)
        return answer.status_code, answer.json()

    def refused(self, one, other):
        status, answer = self.compare(one, other)
        return status, answer["detail"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    store = tmp_path_factory.mktemp("scene")
    return Scene(TrainerSettings(store=store, redis_url="redis://127.0.0.1:1/0"))


@pytest.fixture(scope="module")
def old(scene):
    return scene.training(OLD)


@pytest.fixture(scope="module")
def new(scene):
    return scene.training(NEW, hour=1, dataset=new_id(), root=LINE, parent=LINE)


def test_it_tells_which_images_were_fixed_and_which_were_broken(scene, old, new):
    status, found = scene.compare(new, old)

    assert status == 200
    assert (found["old"]["training"], found["new"]["training"]) == (old, new)
    assert (found["common"], found["only_old"], found["only_new"]) == (5, 1, 1)
    outcomes = {image["sha256"]: image["outcome"] for image in found["images"]}
    assert outcomes == {
        "e": "fixed",
        "b": "fixed",
        "c": "broken",
        "d": "both_wrong",
        "a": "both_right",
    }
    assert list(outcomes) == ["e", "b", "c", "d", "a"]
    assert [found[name] for name in ("fixed", "broken", "both_wrong", "both_right")] == [2, 1, 1, 1]
    assert (found["old"]["accuracy"], found["new"]["accuracy"]) == (0.4, 0.6)
    assert found["images"][0] == {
        "sha256": "e",
        "name": "e.png",
        "label": "dog",
        "label_before": "cat",
        "outcome": "fixed",
        "old": {"predicted": "cat", "probability": 0.9},
        "new": {"predicted": "dog", "probability": 0.8},
    }


def test_the_newer_one_is_new_whichever_is_asked(scene, old, new):
    assert scene.compare(old, new) == scene.compare(new, old)


def test_images_come_in_pages_and_by_outcome(scene, old, new):
    _, whole = scene.compare(new, old)
    _, first = scene.compare(new, old, limit=3)
    _, rest = scene.compare(new, old, limit=3, after=first["after"])
    _, fixed = scene.compare(new, old, outcome="fixed", limit=1)

    assert first["images"] + rest["images"] == whole["images"]
    assert (first["after"], rest["after"], fixed["after"]) == (3, None, 1)
    assert (fixed["images"], fixed["broken"]) == (whole["images"][:1], 1)


def test_what_can_not_be_compared_is_refused_in_words(scene, old):
    other = scene.training(NEW, dataset="20260101-000000-aaaaaa")
    removed, disjoint = scene.training(None), scene.training(rows(("z", "cat", "cat", 1.0)))
    unpublished = new_record(State.FAILED, dataset=LINE)
    scene.stores.trainings.create(unpublished)

    assert scene.refused(old, old)[0] == 422
    assert scene.refused(old, "20260101-000000-bbbbbb")[0] == 404
    for with_, status, words in (
        (other, 422, "made of the same"),
        (removed, 409, "its version was removed"),
        (disjoint, 409, "no test image in common"),
        (unpublished.id, 409, "has no report: it is failed"),
    ):
        found = scene.refused(old, with_)
        assert (found[0], words in found[1]) == (status, True), found


def test_a_damaged_report_is_named(scene, old):
    damaged = scene.training([{"image": "a.png"}])

    status, detail = scene.refused(old, damaged)

    assert (status, f"report of training {damaged!r} can't be read" in detail) == (500, True)
