"""Notes, aliases, new names and removal of models, in a real store."""

import threading
from pathlib import Path

import pytest

from shared.errors import (
    AnnotationsUnreadable,
    Conflict,
    InvalidRequest,
    ModelNotFound,
    VersionCorrupt,
    VersionNotFound,
)
from shared.models.annotations import ANNOTATIONS_FILE, VersionAnnotation, read_annotations
from shared.models.model_store import ModelStore, is_sound, read_manifest
from tests.support.inputs.tiny_model import publish_tiny_model
from trainer_service.store import model_life
from trainer_service.store.annotating import annotate_model, annotate_version
from trainer_service.store.due import superfluous_versions
from trainer_service.store.model_life import (
    find_version,
    remove_model,
    remove_version,
    rename_model,
)
from trainer_service.store.publishing import WritableModelStore


@pytest.fixture
def models(tmp_path):
    return WritableModelStore(tmp_path)


def publish(models: WritableModelStore, name: str = "pets", training_id: str | None = None) -> int:
    return publish_tiny_model(models.root.parent, name, training_id=training_id)


def said(models: WritableModelStore, name: str = "pets"):
    return read_annotations(models.root / name)


def names_seen(models: WritableModelStore) -> list[str]:
    return ModelStore(models.root.parent).names()


def test_notes_and_aliases_are_changed_one_by_one(models):
    publish(models), publish(models)

    annotate_version(models, "pets", 1, {"note": "for the shop", "alias": "champion"})
    annotate_version(models, "pets", 1, {"note": "for all shops"})
    annotate_model(models, "pets", "Cats and dogs.")

    assert said(models).note == "Cats and dogs."
    assert said(models).of(1) == VersionAnnotation(note="for all shops", alias="champion")
    annotate_version(models, "pets", 1, {"note": None})
    annotate_model(models, "pets", None)
    assert said(models).model_dump(exclude_defaults=True) == {
        "versions": {1: {"alias": "champion"}}
    }
    annotate_version(models, "pets", 1, {"alias": None})
    assert (models.root / "pets" / ANNOTATIONS_FILE).read_text() == '{"versions":{},"formerly":[]}'


def test_an_alias_moves_to_another_version_in_one_moment(models):
    publish(models), publish(models)
    annotate_version(models, "pets", 1, {"alias": "champion", "note": "old"})

    annotate_version(models, "pets", 2, {"alias": "champion"})

    assert said(models).aliases() == {"champion": 2}
    assert said(models).of(1).note == "old"


def test_many_people_write_notes_at_once_and_none_is_lost(models):
    for _ in range(4):
        publish(models)
    writers = [
        threading.Thread(target=annotate_version, args=(models, "pets", v, {"note": f"note {v}"}))
        for v in (1, 2, 3, 4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert {v: said(models).of(v).note for v in (1, 2, 3, 4)} == {
        v: f"note {v}" for v in (1, 2, 3, 4)
    }


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"versions": {"1": {"alias": "7"}}}',
        '{"note": " "}',
        '{"versions": {"1": {"alias": "a"}, "2": {"alias": "a"}}}',
    ],
)
def test_unreadable_notes_are_not_written_over(models, content):
    publish(models)
    file = models.root / "pets" / ANNOTATIONS_FILE
    file.write_text(content)

    with pytest.raises(AnnotationsUnreadable, match=r"annotations\.json"):
        annotate_version(models, "pets", 1, {"note": "new"})

    assert file.read_text() == content
    snapshot = models.snapshot("pets")
    assert snapshot.fault is None
    assert "annotations.json" in snapshot.annotations_fault


def test_what_is_said_of_a_removed_version_goes(models):
    publish(models), publish(models)
    annotate_version(models, "pets", 1, {"alias": "champion"})
    remove_version(models, "pets", 1, force=True)

    assert models.snapshot("pets").annotations.aliases() == {}
    annotate_version(models, "pets", 2, {"note": "new"})
    assert list(said(models).versions) == [2]
    with pytest.raises(VersionNotFound):
        annotate_version(models, "pets", 1, {"note": "gone"})


def test_a_served_version_and_one_with_an_alias_are_only_removed_with_force(models):
    for _ in range(3):
        publish(models)
    annotate_version(models, "pets", 1, {"alias": "champion"})

    with pytest.raises(Conflict, match=r"is the one that is served"):
        remove_version(models, "pets", 3, force=False)
    with pytest.raises(Conflict, match=r"has the alias 'champion'.*force=true"):
        remove_version(models, "pets", 1, force=False)
    remove_version(models, "pets", 2, force=False)
    models.pin("pets", 3)
    remove_version(models, "pets", 3, force=True)

    assert models.versions("pets") == [1]
    assert models.pinned("pets") is None
    assert publish(models) == 4


def test_the_only_version_takes_the_model_with_it_and_its_number_is_not_used_again(models):
    publish(models), publish(models)
    remove_version(models, "pets", 1, force=False)
    annotate_version(models, "pets", 2, {"alias": "champion"})

    with pytest.raises(Conflict):
        remove_version(models, "pets", 2, force=False)
    remove_version(models, "pets", 2, force=True)

    assert names_seen(models) == []
    with pytest.raises(ModelNotFound):
        models.versions("pets")
    assert publish(models) == 3
    assert said(models).aliases() == {}


def test_a_served_model_is_only_removed_with_force(models):
    publish(models), publish(models), publish(models, "birds")

    with pytest.raises(Conflict, match=r"is served, with version 2.*force=true"):
        remove_model(models, "pets", force=False)
    assert models.versions("pets") == [1, 2]
    remove_model(models, "pets", force=True)

    assert names_seen(models) == ["birds"]
    assert sorted(path.name for path in models.root.iterdir()) == ["birds", "pets"]
    assert sorted(path.name for path in (models.root / "pets").iterdir()) == [".highest", ".lock"]


def test_a_model_with_damaged_versions_only_is_removed_without_force(models):
    publish(models)
    (models.root / "pets/1/openvino/model.bin").write_bytes(b"")
    remove_model(models, "pets", force=False)
    assert names_seen(models) == []


def test_a_renamed_model_is_whole_under_its_new_name(models):
    publish(models), publish(models)
    models.pin("pets", 1)
    annotate_version(models, "pets", 2, {"alias": "champion"})

    rename_model(models, "pets", "dogs")

    assert names_seen(models) == ["dogs"]
    for version in (1, 2):
        directory = models.directory("dogs", version)
        assert is_sound(directory)
        assert read_manifest(directory).model == "dogs"
    assert models.pinned("dogs") == 1
    assert said(models, "dogs").aliases() == {"champion": 2}
    assert publish(models, "dogs") == 3
    assert publish(models, "pets") == 3  # the number of another version would be that of two


def test_a_name_can_be_changed_back_and_forth(models):
    publish(models)
    for old, new in (("pets", "dogs"), ("dogs", "pets"), ("pets", "dogs")):
        rename_model(models, old, new)
        publish(models, new)

    assert models.versions("dogs") == [1, 2, 3, 4]
    assert all(is_sound(models.directory("dogs", version)) for version in (1, 2, 3, 4))
    assert names_seen(models) == ["dogs"]


def test_a_version_of_another_model_is_still_refused(models):
    publish(models), publish(models, "dogs")
    (models.root / "dogs/1").rename(models.root / "pets/2")

    with pytest.raises(VersionCorrupt, match=r"belongs to model dogs, version 1"):
        read_manifest(models.root / "pets/2")


def test_a_name_that_is_taken_or_the_same_is_refused_and_nothing_changes(models):
    publish(models), publish(models, "dogs")

    with pytest.raises(Conflict, match=r"There is a model 'dogs', with 1 version"):
        rename_model(models, "pets", "dogs")
    with pytest.raises(InvalidRequest, match=r"another name"):
        rename_model(models, "pets", "pets")
    with pytest.raises(ModelNotFound):
        rename_model(models, "nobody", "birds")
    with models.stage("pets"), pytest.raises(Conflict, match=r"is being written"):
        rename_model(models, "pets", "birds")

    assert names_seen(models) == ["dogs", "pets"]
    assert said(models).formerly == []


class Killed(BaseException):
    """In place of a SIGKILL."""


@pytest.mark.parametrize("moment", range(5))
def test_a_crash_at_any_moment_of_a_rename_leaves_one_whole_model(models, monkeypatch, moment):
    publish(models), publish(models)
    left = iter(range(moment))

    def dying(change):
        def may_die(*arguments, **named):
            if next(left, None) is None:
                raise Killed
            return change(*arguments, **named)

        return may_die

    monkeypatch.setattr(Path, "rename", dying(Path.rename))
    monkeypatch.setattr(model_life, "write_annotations", dying(model_life.write_annotations))
    monkeypatch.setattr(model_life, "sync_directory", dying(model_life.sync_directory))
    monkeypatch.setattr(model_life, "_note_highest", dying(model_life._note_highest))
    with pytest.raises(Killed):
        rename_model(models, "pets", "dogs")
    monkeypatch.undo()

    [name] = names_seen(models)
    assert [is_sound(models.directory(name, version)) for version in (1, 2)] == [True, True]
    if name == "pets":
        rename_model(models, "pets", "dogs")
    assert [is_sound(models.directory("dogs", version)) for version in (1, 2)] == [True, True]


def test_two_people_who_swap_names_do_not_wait_for_each_other(models):
    publish(models)
    refused = []

    def rename(old: str, new: str) -> None:
        for _ in range(5):
            try:
                rename_model(models, old, new)
            except (Conflict, ModelNotFound) as error:
                refused.append(error)

    threads = [threading.Thread(target=rename, args=names) for names in ("ab", "ba")]
    rename_model(models, "pets", "a")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert not any(thread.is_alive() for thread in threads)
    [name] = names_seen(models)
    assert is_sound(models.directory(name, 1))


def test_the_version_of_a_training_is_found_under_the_new_name(models):
    publish(models, training_id="20260101-000000-aaaaaa")
    rename_model(models, "pets", "dogs")
    publish(models, training_id="20260101-000000-bbbbbb")

    found = find_version(models, "pets", 1, "20260101-000000-aaaaaa")
    assert found == models.root / "dogs" / "1"
    assert find_version(models, "pets", 2, "20260101-000000-bbbbbb") == models.root / "pets" / "2"
    remove_model(models, "dogs", force=True)
    with pytest.raises(VersionNotFound):
        find_version(models, "pets", 1, "20260101-000000-aaaaaa")


def test_retention_keeps_a_version_with_an_alias(models):
    for _ in range(4):
        publish(models)
    annotate_version(models, "pets", 2, {"alias": "champion"})

    assert superfluous_versions(models, "pets", 1) == [3, 1]
