"""Decisions on which version is served: how they are made, kept, and lost."""

import os
from dataclasses import replace

import pytest

from shared.errors import Conflict, PromotionsUnreadable, VersionNotFound
from shared.models.model_store import ModelSnapshot
from tests.support.inputs.tiny_model import tiny_manifest
from trainer_service.store.due import superfluous_versions
from trainer_service.store.promoting import ModelChanged, Verdict
from trainer_service.store.publishing import WritableModelStore

SERVED = Verdict(served=True, reason="It is good.")
REFUSED = Verdict(served=False, reason="Its labels differ.")
DAMAGES = ["", "[]", '{"decisions": [{"version": 1}]}', "no json", "[" * 100_000]


@pytest.fixture
def models(tmp_path) -> WritableModelStore:
    return WritableModelStore(tmp_path)


def publish(
    models: WritableModelStore, verdict: Verdict | None = None, seen: ModelSnapshot | None = None
) -> int:
    with models.stage("pets") as staging:
        (staging / "golden").mkdir()
        (staging / "golden/1.png").write_bytes(b"png")
        golden = '[{"file": "1.png", "label": "red", "probabilities": [1, 0, 0]}]'
        (staging / "golden/golden.json").write_text(golden)
        return models.publish(staging, tiny_manifest("pets"), verdict=verdict, seen=seen)


def order(models: WritableModelStore) -> list[int]:
    return models.snapshot("pets").preferred


def history(models: WritableModelStore) -> list[tuple[int, bool, str]]:
    return [(one.version, one.served, one.by) for one in models.decisions("pets")]


def test_a_verdict_says_whether_a_new_version_is_preferred(models):
    publish(models)
    publish(models, SERVED)
    publish(models, REFUSED)

    assert order(models) == [2, 1]
    decision = models.last_decision("pets", 3)
    assert (decision.served, decision.reason) == (False, "Its labels differ.")
    assert decision.training_id == models.manifest("pets", 3).training_id
    assert models.to_serve(models.snapshot("pets")) == 2


def test_a_decision_is_there_before_its_version(models, monkeypatch):
    publish(models, SERVED)
    seen = []
    rename = type(models.root).rename

    def look(path, target):
        if target == models.root / "pets/2":
            seen.append(models.last_decision("pets", 2).served)
        return rename(path, target)

    monkeypatch.setattr(type(models.root), "rename", look)
    publish(models, REFUSED)

    assert seen == [False]


@pytest.mark.parametrize("again", [None, SERVED])
def test_the_decision_of_a_process_that_was_killed_goes_when_its_number_is_used(
    models, monkeypatch, again
):
    publish(models, SERVED)
    with monkeypatch.context() as patched:
        patched.setattr("trainer_service.store.publishing.sync_directory", _killed)
        patched.setattr(type(models.root), "rename", _killed)
        with pytest.raises(KeyboardInterrupt):
            publish(models, REFUSED)
    assert history(models)[-1] == (2, False, "training")
    assert order(models) == [1]

    assert publish(models, again) == 2
    assert order(models) == [2, 1]
    assert (2, False, "training") not in history(models)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_verdict_about_another_state_of_the_model_is_not_published(models):
    assert publish(models, SERVED, models.state("pets")) == 1
    seen = models.state("pets")
    models.pin("pets", 1)

    with pytest.raises(ModelChanged):
        publish(models, SERVED, seen)
    assert models.versions("pets") == [1]
    assert publish(models, SERVED, models.state("pets")) == 2


def test_promoting_serves_an_older_version_and_rolling_back_returns(models):
    for _ in range(3):
        publish(models)

    models.promote("pets", 1)
    assert order(models) == [1, 3, 2]
    models.promote("pets", 1)
    assert history(models) == [(3, True, "request"), (1, True, "request")]
    models.roll_back("pets")
    assert order(models) == [3, 2]
    models.roll_back("pets")
    assert order(models) == [2]
    with pytest.raises(Conflict, match="no intact version before the one that is served, 2"):
        models.roll_back("pets")
    models.promote("pets", 3)
    assert order(models) == [3, 2]


def test_a_damaged_version_is_neither_left_nor_returned_to(models):
    for _ in range(4):
        publish(models, SERVED)
    for damaged in (4, 2):
        (models.directory("pets", damaged) / "golden/1.png").write_bytes(b"other")

    models.roll_back("pets")
    assert order(models) == [1, 4, 2]
    assert models.to_serve(models.snapshot("pets")) == 1


def test_while_a_version_is_pinned_nothing_is_decided(models):
    publish(models)
    publish(models)
    models.pin("pets", 1)

    for decide in (lambda: models.promote("pets", 2), lambda: models.roll_back("pets")):
        with pytest.raises(Conflict, match=r"pinned to version 1.*Un-pin it first: PUT /v1/models"):
            decide()
    models.pin("pets", None)
    models.pin("pets", None)
    assert history(models) == [(1, True, "pin"), (1, False, "unpin")]
    assert order(models) == [2, 1]


def test_only_a_published_version_can_be_promoted(models):
    publish(models)

    with pytest.raises(VersionNotFound):
        models.promote("pets", 2)


def test_the_version_to_serve_stays_and_one_that_is_not_served_may_go(models):
    publish(models, SERVED)
    publish(models, REFUSED)
    publish(models, REFUSED)

    with pytest.raises(Conflict, match=r"Version 1 .* is the one that is served"):
        models.remove("pets", 1)
    assert superfluous_versions(models, "pets", keep=1) == [2]
    models.remove("pets", 3)
    assert models.versions("pets") == [1, 2]
    assert publish(models, REFUSED) == 4
    assert order(models) == [1]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_damaged_decisions_are_told_and_stop_no_training_and_no_pin(models, damage):
    publish(models, SERVED)
    publish(models, REFUSED)
    file = models.root / "pets/promotions.json"
    file.write_text(damage)

    snapshot = models.snapshot("pets")
    assert "promotions.json" in snapshot.fault
    assert not snapshot.settled
    assert publish(models, SERVED, models.state("pets")) == 3
    assert file.read_text() == damage
    for refused in (
        lambda: models.promote("pets", 1),
        lambda: models.roll_back("pets"),
        lambda: models.remove("pets", 2),
        lambda: models.last_decision("pets", 3),
    ):
        with pytest.raises(PromotionsUnreadable, match="Restore the file, pin a version"):
            refused()
    models.pin("pets", 1)
    pinned = models.snapshot("pets")
    assert (pinned.pinned, pinned.settled, pinned.preferred[0]) == (1, True, 1)


def test_a_file_of_decisions_that_cannot_be_read_now_is_no_empty_one(models):
    publish(models, SERVED)
    (models.root / "pets/promotions.json").unlink()
    os.mkfifo(models.root / "pets/promotions.json")

    with pytest.raises(PromotionsUnreadable, match="it is not a plain file"):
        models.decisions("pets")
    assert replace(models.snapshot("pets"), fault=None).decisions == ()
