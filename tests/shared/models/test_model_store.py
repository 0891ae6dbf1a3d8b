import errno
import json
import math
import os
import re
import shutil
import threading
from functools import partial
from pathlib import Path

import pytest

from shared.errors import (
    Conflict,
    ModelNotFound,
    ModelUnreadable,
    PinUnreadable,
    Unavailable,
    VersionCorrupt,
    VersionNotFound,
)
from shared.models.manifest import GOLDEN_FILE, MANIFEST_FILE
from shared.models.model_store import ModelSnapshot, is_sound, read_golden, read_manifest, verify
from tests.support.inputs.tiny_model import tiny_manifest, write_golden
from trainer_service.errors import ModelUnwritable
from trainer_service.store import publishing
from trainer_service.store.publishing import HIGHEST_VERSION, WritableModelStore


@pytest.fixture
def models(tmp_path):
    return WritableModelStore(tmp_path)


def publish(models: WritableModelStore, name: str = "pets", training_id: str | None = None) -> int:
    with models.stage(name) as staging:
        write_golden(staging)
        (staging / "openvino").mkdir()
        (staging / "openvino" / "model.bin").write_bytes(os.urandom(64))
        return models.publish(staging, tiny_manifest(name, training_id=training_id))


def test_an_empty_store_has_no_models(models):
    assert models.names() == []
    with pytest.raises(ModelNotFound, match=r"'pets'.*none yet"):
        models.versions("pets")


def test_versions_count_up_from_one(models):
    assert [publish(models) for _ in range(3)] == [1, 2, 3]
    assert models.versions("pets") == [1, 2, 3]
    assert models.names() == ["pets"]


def test_a_published_version_describes_all_of_its_files(models):
    publish(models)

    manifest = models.manifest("pets", 1)
    assert (manifest.model, manifest.version) == ("pets", 1)
    assert {entry.path for entry in manifest.files} == {
        "golden/golden.json",
        "golden/red.png",
        "golden/green.png",
        "golden/blue.png",
        "openvino/model.bin",
    }
    assert verify(models.directory("pets", 1)) == manifest


def test_a_training_publishes_once(models):
    assert publish(models, training_id="20260101-000000-abcdef") == 1
    assert publish(models) == 2
    assert publish(models, training_id="20260101-000000-abcdef") == 1
    assert models.versions("pets") == [1, 2]


def test_a_training_publishes_once_also_if_two_workers_do_it_at_once(models):
    published: list[int] = []
    one = "20260101-000000-abcdef"
    threads = [
        threading.Thread(target=lambda: published.append(publish(models, training_id=one)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert published == [1] * 8
    assert models.versions("pets") == [1]


def test_removing_an_older_version_renumbers_nothing(models):
    publish(models)
    publish(models)
    (models.root / "pets" / "1").rename(models.root / "pets" / "elsewhere")

    assert publish(models) == 3


def test_a_failed_publication_leaves_nothing_behind(models):
    def fail(directory: Path) -> None:
        (directory / "half").write_bytes(b"written")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), models.stage("pets") as staging:
        fail(staging)

    assert list((models.root / "pets").iterdir()) == []
    assert models.names() == []


def test_a_version_in_the_making_is_not_seen(models):
    with models.stage("pets"):
        assert models.names() == []


def test_concurrent_publishers_get_distinct_versions(models):
    """Eight publishers at once: eight versions, each of them whole."""
    published: list[int] = []
    threads = [threading.Thread(target=lambda: published.append(publish(models))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(published) == list(range(1, 9))
    for version in published:
        verify(models.directory("pets", version))


@pytest.mark.parametrize("name", ["007", "1a", "-1", "1.0", "٣", "9" * 100])
def test_only_unpadded_integers_are_versions(models, name):
    publish(models)
    (models.root / "pets" / name).mkdir()

    assert models.versions("pets") == [1]


@pytest.mark.parametrize("name", ["../pets", "/etc", "", ".", "..", "a/b", "a\0b", "x" * 64])
def test_a_name_is_never_a_path(models, name):
    publish(models)

    with pytest.raises(ModelNotFound):
        models.versions(name)
    with pytest.raises(ModelNotFound):
        models.pin(name, None)


def test_a_missing_version_is_named_with_those_there_are(models):
    publish(models)
    publish(models)

    with pytest.raises(VersionNotFound, match=r"no version 7\. Versions: 1, 2"):
        models.directory("pets", 7)


def test_pin_and_unpin(models):
    publish(models)
    publish(models)
    assert models.pinned("pets") is None

    models.pin("pets", 1)
    assert models.pinned("pets") == 1

    models.pin("pets", None)
    assert models.pinned("pets") is None


def test_only_a_published_version_can_be_pinned(models):
    publish(models)

    with pytest.raises(VersionNotFound):
        models.pin("pets", 2)
    assert models.pinned("pets") is None


NOT_AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
MEANINGLESS = ["", "[]", "{}", '{"version": "1"}', '{"version": true}', "no json", "[" * 100_000]


@pytest.mark.parametrize("content", MEANINGLESS, ids=range(len(MEANINGLESS)))
def test_a_meaningless_pin_is_told_and_can_be_written_anew(models, content):
    publish(models)
    (models.root / "pets" / "pin.json").write_text(content)

    with pytest.raises(PinUnreadable, match=r"The pin of model 'pets' can't be read: pin\.json"):
        models.pinned("pets")
    snapshot = models.snapshot("pets")
    assert (snapshot.versions, snapshot.pinned) == ([1], None)
    assert "pin.json" in snapshot.fault
    models.pin("pets", 1)
    assert models.snapshot("pets") == ModelSnapshot("pets", [1], 1)


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def nested(path: Path) -> None:
    path.write_text("[" * 4000)


def endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def forbidden(path: Path) -> None:
    path.write_text("{}")
    path.chmod(0)


#: What may lie where a small file should, and what is said of it.
IN_ITS_PLACE = [
    (a_folder, "Is a directory"),
    (a_loop, "Too many levels of symbolic links"),
    (os.mkfifo, "it is not a plain file"),
    (nested, "Invalid JSON: recursion limit exceeded"),
    (endless, "should have at most"),
    pytest.param(
        forbidden,
        "Permission denied (user id",
        marks=NOT_AS_ROOT,
    ),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("put", "said"), IN_ITS_PLACE)
def test_whatever_lies_where_a_pin_should_is_told_and_can_be_replaced(models, put, said):
    publish(models)
    publish(models)
    put(models.root / "pets" / "pin.json")

    assert said in models.snapshot("pets").fault
    with pytest.raises(PinUnreadable):
        models.remove("pets", 1)
    models.pin("pets", 1)
    assert models.pinned("pets") == 1
    models.pin("pets", None)
    assert models.pinned("pets") is None


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("put", "said"), IN_ITS_PLACE)
def test_whatever_lies_where_a_manifest_should_is_a_damaged_version(models, put, said):
    publish(models)
    manifest = models.directory("pets", publish(models)) / MANIFEST_FILE
    manifest.unlink()
    put(manifest)

    with pytest.raises(VersionCorrupt, match=re.escape(said)):
        models.manifest("pets", 2)
    assert models.published_by("pets", "20260101-000000-abcdef") is None
    assert publish(models) == 3
    models.remove("pets", 2)
    assert models.versions("pets") == [1, 3]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reading it fails on Linux only")
def test_what_the_machine_cannot_read_now_is_no_verdict(models):
    publish(models)
    publish(models)
    manifest = models.directory("pets", 2) / MANIFEST_FILE
    manifest.unlink()
    manifest.symlink_to("/proc/self/mem")  # any read of it is an input/output error

    with pytest.raises(OSError, match="Input/output error"):
        is_sound(models.directory("pets", 2))
    for version in (1, 2):
        with pytest.raises(Unavailable, match=r"version 2 can't be read: Input/output error"):
            models.remove("pets", version)
    (models.root / "pets/pin.json").symlink_to("/proc/self/mem")
    assert "Input/output error" in models.snapshot("pets").fault
    assert models.versions("pets") == [1, 2]


def test_a_model_that_cannot_be_listed_takes_nothing_from_the_others(models):
    publish(models)
    a_loop(models.root / "astray")

    assert models.names() == ["astray", "pets"]
    assert models.snapshot("pets") == ModelSnapshot("pets", [1])
    assert models.snapshot("astray") == ModelSnapshot(
        "astray",
        None,
        fault="The directory of model 'astray' can't be listed: Too many levels of symbolic links.",
    )
    with pytest.raises(ModelUnreadable):
        models.directory("astray", 1)


def test_a_version_that_cannot_be_looked_at_takes_nothing_from_the_others(models):
    publish(models)
    a_loop(models.root / "pets/2")

    assert models.versions("pets") == [1, 2]
    with pytest.raises(VersionCorrupt, match=r"manifest\.json can't be read: Too many levels"):
        models.manifest("pets", 2)
    assert publish(models) == 3


def test_a_copy_of_a_version_under_another_number_is_damaged(models):
    publish(models, training_id="20260101-000000-abcdef")
    shutil.copytree(models.directory("pets", 1), models.root / "pets" / "2")

    with pytest.raises(VersionCorrupt, match="The manifest belongs to model pets, version 1"):
        models.manifest("pets", 2)
    assert models.published_by("pets", "20260101-000000-abcdef") == 1


def flip_a_byte(directory: Path) -> None:
    path = directory / "openvino" / "model.bin"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def edit_manifest(directory: Path, **fields: object) -> None:
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def link_to_itself(directory: Path) -> None:
    (directory / "openvino/model.bin").unlink()
    (directory / "openvino/model.bin").symlink_to("model.bin")


def list_another_file(directory: Path, name: str) -> None:
    files = json.loads((directory / MANIFEST_FILE).read_text())["files"]
    edit_manifest(directory, files=[*files, {"path": name, "bytes": 6, "sha256": "0" * 64}])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (link_to_itself, "The version has a file that can't be read: Symlink loop"),
        (
            partial(list_another_file, name="a\0b"),
            "The version has a file that can't be read: embedded null",
        ),
        (flip_a_byte, r"openvino/model\.bin is not the file that was published"),
        (lambda d: (d / "openvino/model.bin").unlink(), r"openvino/model\.bin is missing"),
        (lambda d: (d / "openvino/model.bin").write_bytes(b""), "is not the file"),
        (lambda d: (d / "openvino/extra.bin").write_bytes(b"1"), "extra.bin is not in the manif"),
        (lambda d: os.mkfifo(d / "openvino/pipe"), "pipe is not in the manifest"),
        (lambda d: (d / "gone").symlink_to("nowhere"), "gone is not in the manifest"),
        (lambda d: (d / MANIFEST_FILE).unlink(), "manifest.json is missing"),
        (lambda d: (d / MANIFEST_FILE).write_text("{"), "manifest.json: the document: Invalid"),
        (lambda d: edit_manifest(d, labels=["one"]), "manifest.json: labels: List should have"),
        (lambda d: edit_manifest(d, labels=["a", "a"]), "each label should be there once"),
        (lambda d: edit_manifest(d, labels=["a", "b" * 1025]), "should have at most 1024"),
        (
            lambda d: edit_manifest(d, input={"height": 4096, "width": 224}),
            "manifest.json: input.height: Input should be less than or equal to 1024",
        ),
        (
            lambda d: edit_manifest(d, coverage={"images": 1, "labels": math.nan}),
            "manifest.json: coverage.labels: Input should be a finite number",
        ),
        (lambda d: edit_manifest(d, schema_version=2), "manifest.json: schema_version"),
        (lambda d: edit_manifest(d, version=2), "The manifest belongs to model pets, version 2"),
        (
            lambda d: edit_manifest(d, model="others"),
            "manifest belongs to model others, version 1",
        ),
        (lambda d: edit_manifest(d, files=[]), "golden/blue.png is not in the manifest"),
    ],
)
def test_verify_names_what_is_wrong(models, damage, reason):
    publish(models)
    damage(models.directory("pets", 1))

    with pytest.raises(VersionCorrupt, match=reason):
        verify(models.directory("pets", 1))


@pytest.mark.parametrize("path", ["../../../secret", "/etc/hostname"])
def test_verify_stays_within_the_version(models, path):
    (models.root.parent / "secret").write_text("secret")
    publish(models)
    directory = models.directory("pets", 1)
    list_another_file(directory, path)

    with pytest.raises(VersionCorrupt, match="outside of the version"):
        verify(directory)


def test_hidden_files_do_not_spoil_a_version(models):
    publish(models)
    (models.directory("pets", 1) / ".DS_Store").write_bytes(b"left by a file manager")

    assert verify(models.directory("pets", 1)).version == 1


def edit_golden(directory: Path, **fields: object) -> None:
    path = directory / GOLDEN_FILE
    golden = json.loads(path.read_text())
    path.write_text(json.dumps([golden[0] | fields, *golden[1:]]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: (d / GOLDEN_FILE).unlink(), "golden.json is missing"),
        (lambda d: (d / GOLDEN_FILE).write_text("[{}]"), "golden.json: 0.file: Field required"),
        (lambda d: (d / GOLDEN_FILE).write_text("[" * 9999), "recursion limit exceeded"),
        (lambda d: (d / GOLDEN_FILE).write_text("[]"), "lists no image"),
        (lambda d: edit_golden(d, file="../../pin.json"), r"\.\./\.\./pin\.json is not in the m"),
        (lambda d: edit_golden(d, file=""), "golden.json:  is not in the manifest"),
        (lambda d: edit_golden(d, file=".hidden.png"), r"\.hidden\.png is not in the manifest"),
        (lambda d: edit_golden(d, label="purple"), "red.png does not fit the labels"),
        (lambda d: edit_golden(d, probabilities=[1.0]), "red.png does not fit the labels"),
        (lambda d: edit_golden(d, reduced={"bf16": [1.0]}), "red.png does not fit the labels"),
    ],
)
def test_golden_images_must_fit_the_manifest(models, damage, reason):
    publish(models)
    directory = models.directory("pets", 1)
    damage(directory)

    with pytest.raises(VersionCorrupt, match=reason):
        read_golden(directory, read_manifest(directory))


def test_a_pin_to_a_version_that_is_gone_does_not_open_the_newest_to_removal(models):
    publish(models)
    publish(models)
    models.pin("pets", 1)
    shutil.rmtree(models.directory("pets", 1))

    with pytest.raises(Conflict, match="is the one that is served"):
        models.remove("pets", 2)

    assert models.versions("pets") == [2]


def spoil_golden(directory: Path) -> None:
    """Damage that the hashes do not tell: it was published so."""
    (directory / GOLDEN_FILE).write_text("[]")
    files = [
        publishing._entry(directory / entry.path, entry.path)
        for entry in read_manifest(directory).files
    ]
    edit_manifest(directory, files=[entry.model_dump() for entry in files])


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        spoil_golden,
        link_to_itself,
        lambda d: (d / MANIFEST_FILE).unlink(),
        pytest.param(lambda d: d.chmod(0), marks=NOT_AS_ROOT),
        pytest.param(lambda d: (d / "openvino").chmod(0), marks=NOT_AS_ROOT),
    ],
    ids=["byte", "golden", "link", "manifest", "mode", "inner mode"],
)
def test_of_damaged_newest_versions_the_sound_one_before_is_kept(models, damage):
    """It is what a predictor that starts anew serves."""
    for _ in range(4):
        publish(models)
    damage(models.directory("pets", 3))
    flip_a_byte(models.directory("pets", 4))

    with pytest.raises(Conflict, match=r"Version 2 .* is the one that is served"):
        models.remove("pets", 2)
    for version in (3, 1, 4):
        models.remove("pets", version)
    assert models.versions("pets") == [2]
    assert [path.name for path in (models.root / "pets").glob(".removed-*")] == []


def test_with_a_damaged_pinned_version_the_newest_sound_one_is_kept(models):
    for _ in range(3):
        publish(models)
    models.pin("pets", 1)
    flip_a_byte(models.directory("pets", 1))

    with pytest.raises(Conflict, match="is pinned"):
        models.remove("pets", 1)
    with pytest.raises(Conflict, match="is the one that is served"):
        models.remove("pets", 3)
    models.remove("pets", 2)


def test_a_lock_that_nobody_can_take_is_replaced(models):
    publish(models)
    (models.root / "pets/.lock").unlink()
    a_loop(models.root / "pets/.lock")
    models.pin("pets", 1)

    assert models.pinned("pets") == 1


def test_what_can_not_be_changed_is_said(models, monkeypatch):
    for _ in range(2):
        publish(models)

    def deny(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(publishing, "locked_briefly", deny)
    said = r"Model 'pets' can't be changed: \.lock: Permission denied \(user id \d+\)\."
    with pytest.raises(ModelUnwritable, match=said):
        models.pin("pets", 1)
    with pytest.raises(ModelUnwritable, match=said):
        models.remove("pets", 1)


def test_a_version_can_be_removed_to_make_room_on_a_full_disk(models, monkeypatch):
    for _ in range(2):
        publish(models)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "atomic_write", full)
        models.remove("pets", 1)
    assert models.versions("pets") == [2]
    assert publish(models) == 3


def test_a_damaged_only_version_can_be_removed(models):
    publish(models)
    flip_a_byte(models.directory("pets", 1))

    models.remove("pets", 1)
    assert models.names() == []
    assert publish(models) == 2


def test_what_is_served_changes_while_a_version_is_removed(models, monkeypatch):
    for _ in range(2):
        publish(models)
    models.pin("pets", 1)

    def unpin_meanwhile(directory: Path) -> bool:
        (models.root / "pets/pin.json").unlink()
        return is_sound(directory)

    monkeypatch.setattr(publishing, "is_sound", unpin_meanwhile)
    with pytest.raises(Conflict, match="has just changed: try again"):
        models.remove("pets", 2)
    assert models.versions("pets") == [1, 2]


def test_a_number_that_leaves_no_room_for_another_is_no_version(models):
    publish(models)
    (models.root / "pets/999999999999999999").mkdir()

    assert models.versions("pets") == [1]
    assert publish(models) == 2


def test_with_the_last_number_taken_nothing_more_is_made(models):
    publish(models)
    (models.root / f"pets/{HIGHEST_VERSION}").mkdir()

    with pytest.raises(Conflict, match=f"a number of up to {HIGHEST_VERSION}. That number is t"):
        publish(models)
    left = [path.name for path in (models.root / "pets").iterdir()]
    assert sorted(left) == [".lock", "1", str(HIGHEST_VERSION)]


def test_a_number_that_a_file_has_is_not_given_out(models):
    publish(models)
    (models.root / "pets/2").write_text("")

    assert publish(models) == 3


@pytest.mark.parametrize("content", ["", "x", "-5", "9" * 10_000])
def test_numbers_are_not_given_out_while_nobody_knows_which_were(models, content):
    publish(models)
    (models.root / "pets/.highest").write_text(content)

    with pytest.raises(Conflict, match=r"\.highest (should ho|can't .* at most)"):
        publish(models)
    assert models.versions("pets") == [1]
