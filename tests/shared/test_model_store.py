import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from shared.errors import Conflict, ModelNotFound, VersionCorrupt, VersionNotFound
from shared.manifest import GOLDEN_FILE, MANIFEST_FILE
from shared.model_store import ModelStore, read_golden, read_manifest, verify
from tests.tiny_model import publish_tiny_model, tiny_manifest, write_golden


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path)


def publish(models: ModelStore, name: str = "pets", training_id: str | None = None) -> int:
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


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": "1"}', "no json"])
def test_a_meaningless_pin_pins_nothing(models, content):
    publish(models)
    (models.root / "pets" / "pin.json").write_text(content)

    assert models.pinned("pets") is None


def flip_a_byte(directory: Path) -> None:
    path = directory / "openvino" / "model.bin"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def edit_manifest(directory: Path, **fields: object) -> None:
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_byte, r"openvino/model\.bin is not the file that was published"),
        (lambda d: (d / "openvino/model.bin").unlink(), r"openvino/model\.bin is missing"),
        (lambda d: (d / "openvino/model.bin").write_bytes(b""), "is not the file"),
        (lambda d: (d / "openvino/extra.bin").write_bytes(b"1"), "extra.bin is not in the manif"),
        (lambda d: (d / MANIFEST_FILE).unlink(), "manifest.json is missing"),
        (lambda d: (d / MANIFEST_FILE).write_text("{"), "manifest.json: the document: Invalid"),
        (lambda d: edit_manifest(d, labels=["one"]), "manifest.json: labels: List should have"),
        (lambda d: edit_manifest(d, schema_version=2), "manifest.json: schema_version"),
        (lambda d: edit_manifest(d, version=2), "The manifest is that of pets 2"),
        (lambda d: edit_manifest(d, model="others"), "The manifest is that of others 1"),
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
    files = json.loads((directory / MANIFEST_FILE).read_text())["files"]
    edit_manifest(directory, files=[*files, {"path": path, "bytes": 6, "sha256": "0" * 64}])

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
        (lambda d: (d / GOLDEN_FILE).unlink(), "missing or malformed"),
        (lambda d: (d / GOLDEN_FILE).write_text("[{}]"), "missing or malformed"),
        (lambda d: (d / GOLDEN_FILE).write_text("[]"), "lists no image"),
        (lambda d: edit_golden(d, file="../../pin.json"), "outside of golden/"),
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


def test_a_pin_to_a_version_that_is_gone_does_not_open_the_newest_to_removal(tmp_path):
    models = ModelStore(tmp_path)
    for contrast in (0.05, 0.06):
        publish_tiny_model(tmp_path, contrast=contrast)
    models.pin("colours", 1)
    shutil.rmtree(models.directory("colours", 1))

    with pytest.raises(Conflict, match="is the newest"):
        models.remove("colours", 2)

    assert models.versions("colours") == [2]
