"""A dataset is corrected: another one with other labels is made of it, without copies of images."""

import hashlib
import io
import json
import os
import re
import shutil
import time
import zipfile

import pytest

from shared.errors import InvalidImage
from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import ARCHITECTURE, caller
from tests.support.trainer.builders import new_record
from trainer_service.datasets import reading
from trainer_service.datasets.dataset import Dataset
from trainer_service.errors import InvalidDataset, RecordCorrupt
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores
from trainer_service.store.unused_datasets import delete_unused
from trainer_service.worker.retention import DAY, Retention

NOWHERE = "redis://127.0.0.1:1/0"
#: Two labels of four images each, a copy of one, one under both labels, and one that is damaged.
FILES = {
    **{f"cat/{n}.png": picture((200, n, 0)) for n in range(4)},
    **{f"dog/{n}.png": picture((0, n, 200)) for n in range(4)},
    "cat/copy.png": picture((200, 0, 0)),
    "cat/both.png": picture((9, 9, 9)),
    "dog/both.png": picture((9, 9, 9)),
    "dog/broken.png": b"\x89PNG\r\n\x1a\n",
}
HASH = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


class Scene:
    """The API, and datasets that are read in this process."""

    def __init__(self, settings):
        self.settings = settings
        self.call = caller(settings)
        self.stores = Stores.open(settings)

    def read(self, *, in_place=False, files=FILES, **asked):
        if in_place:
            for name, data in files.items():
                file = self.settings.datasets / "pets" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            body = {"json": {"path": "pets"} | asked}
        else:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
            body = {"files": {"archive": ("pets.zip", packed.getvalue())}, "data": asked}
        made = self.call("POST", "/v1/datasets", **body).json()
        return reading.read(self.stores.datasets, self.settings, made["id"]).id

    def get(self, path):
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def images(self, dataset_id):
        found = self.get(f"/v1/datasets/{dataset_id}/images?limit=1000")["images"]
        return {image["name"]: image for image in found}

    def labels(self, dataset_id):
        """The labels of the used images, by their names."""
        images = self.images(dataset_id).items()
        return {name: image["label"] for name, image in images if image["verdict"] == "used"}

    def post(self, dataset_id, changes, **options):
        """Correct images by their names."""
        body = {HASH.get(name, name): label for name, label in changes.items()}
        return self.call("POST", f"/v1/datasets/{dataset_id}/corrections", json=body, **options)

    def correct(self, dataset_id, changes):
        answer = self.post(dataset_id, changes)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def refused(self, dataset_id, changes, status=422):
        before = set(self.settings.store.glob("datasets/*"))
        answer = self.post(dataset_id, changes)
        assert answer.status_code == status, answer.text
        assert set(self.settings.store.glob("datasets/*")) == before
        return answer.json()["detail"]

    def corrections(self, dataset_id, query=""):
        return self.get(f"/v1/datasets/{dataset_id}/corrections{query}")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    directory = tmp_path_factory.mktemp("scene")
    (directory / "datasets").mkdir()
    settings = TrainerSettings(
        store=directory / "store", datasets=directory / "datasets", redis_url=NOWHERE
    )
    with pytest.MonkeyPatch.context() as patch:
        # Datasets are read here, not by a worker.
        patch.setattr("trainer_service.queue.api_queue.ApiQueue.read_dataset", lambda *_: None)
        yield Scene(settings)


@pytest.fixture(scope="module")
def pets(scene):
    """A dataset that stays, and gets many children."""
    return scene.read()


@pytest.fixture
def own(scene):
    """A dataset that a test may damage or remove."""
    return scene.read()


@pytest.fixture(scope="module", params=[False, True], ids=["uploaded", "in place"])
def source(request, scene):
    """A dataset of each kind."""
    return scene.read(in_place=request.param)


def test_a_corrected_dataset_has_other_labels_and_its_parent_stays_as_it_is(scene, source):
    pets = source
    parent, before = scene.get(f"/v1/datasets/{pets}"), scene.images(pets)

    answer = scene.post(pets, {"cat/1.png": "dog", "dog/0.png": None, "dog/1.png": "fox"})
    child = answer.json()

    assert answer.headers["location"] == f"/v1/datasets/{child['id']}"
    assert (child["state"], child["parent"], child["root"]) == ("ready", pets, pets)
    assert (child["labels"], child["corrected"]) == ({"cat": 3, "dog": 3, "fox": 1}, 3)
    assert child["digest"] != parent["digest"]
    assert child["verdicts"]["left out by a correction"] == 1
    assert scene.get(f"/v1/datasets/{child['id']}") == child
    changed = scene.images(child["id"])
    assert changed["cat/1.png"]["label"] == "dog"
    assert changed["dog/0.png"]["verdict"] == "left out by a correction"
    others = set(before) - {"cat/1.png", "dog/0.png", "dog/1.png"}
    assert {name: changed[name] for name in others} == {name: before[name] for name in others}
    assert (scene.get(f"/v1/datasets/{pets}"), scene.images(pets)) == (parent, before)


def test_it_owns_no_copy_of_an_image_and_shows_all(scene, source):
    pets = source
    child = scene.correct(scene.correct(pets, {"cat/1.png": "dog"}), {"dog/1.png": "fox"})
    dataset = Dataset.open(scene.stores.datasets, scene.settings, child)
    files = dataset.files()

    assert not [path for path in dataset.directory.rglob("*") if path.suffix == ".png"]
    assert not (dataset.directory / "images").exists()
    files.require()
    for image in dataset.used_images():
        data = FILES[image.name]
        assert files.read(image.file, image.sha256) == data
        assert dataset.path_of(image).read_bytes() == data
        address = f"/v1/datasets/{child}/images/{image.sha256}"
        assert scene.call("GET", address).content == data
        assert scene.call("GET", f"{address}/thumbnail").status_code == 200


def test_corrections_are_listed_against_the_first_dataset(scene, pets):
    child = scene.correct(pets, {"cat/1.png": "dog", "cat/2.png": "dog"})
    grandchild = scene.correct(child, {"cat/1.png": "fox", "dog/1.png": None})

    page = scene.corrections(grandchild)

    said = [(one["name"], one["from"], one["to"]) for one in page["corrections"]]
    assert said == [
        ("cat/1.png", "cat", "fox"),
        ("cat/2.png", "cat", "dog"),
        ("dog/1.png", "dog", None),
    ]
    assert (page["parent"], page["root"], page["corrected"]) == (child, pets, 3)
    first = scene.corrections(grandchild, "?limit=2")
    rest = scene.corrections(grandchild, f"?after={first['after']}")
    assert [*first["corrections"], *rest["corrections"]] == page["corrections"]
    assert (first["after"], rest["after"]) == (2, None)
    assert scene.corrections(pets)["corrections"] == []


def test_sending_the_first_label_again_undoes_a_correction(scene, pets):
    child = scene.correct(pets, {"cat/1.png": "dog", "dog/0.png": None})

    undone = scene.correct(child, {"cat/1.png": "cat", "dog/0.png": "dog"})

    assert scene.corrections(undone)["corrections"] == []
    assert scene.images(undone) == scene.images(pets)
    digests = [scene.get(f"/v1/datasets/{one}")["digest"] for one in (undone, pets)]
    assert digests[0] == digests[1]


def test_an_image_under_two_labels_gets_one_and_loses_it_again(scene, pets):
    child = scene.correct(pets, {"cat/both.png": "cat"})

    images = scene.images(child)
    assert images["cat/both.png"]["verdict"] == "used"
    assert images["dog/both.png"]["detail"] == "duplicate of cat/both.png"
    assert scene.corrections(child)["corrections"][0]["from"] is None
    assert scene.images(scene.correct(child, {"cat/both.png": None})) == scene.images(pets)


def test_a_copy_has_the_label_of_the_image(scene, pets):
    images = scene.images(scene.correct(pets, {"cat/copy.png": "dog"}))

    assert images["cat/0.png"]["label"] == images["cat/copy.png"]["label"] == "dog"
    assert images["cat/copy.png"]["verdict"] == "duplicate"


def test_a_split_of_the_dataset_stays(scene):
    files = {
        f"{part}/{label}/{n}.png": picture((base + n, 0, 99))
        for part, base in (("train", 0), ("test", 100))
        for n, label in enumerate(("cat", "dog") * 3)
    }
    parent = scene.read(files=files)
    moved = scene.images(parent)["test/cat/0.png"]

    child = scene.correct(parent, {moved["sha256"]: "dog"})

    assert scene.images(child)["test/cat/0.png"] == moved | {"label": "dog"}
    assert scene.get(f"/v1/datasets/{child}")["has_split"]


@pytest.mark.parametrize(
    ("label", "becomes"), [("  small   fox ", "small fox"), ("DOG", "dog"), ("e\u0301", "\u00e9")]
)
def test_labels_are_written_as_reading_writes_them(scene, pets, label, becomes):
    assert scene.labels(scene.correct(pets, {"cat/1.png": label}))["cat/1.png"] == becomes


def test_a_label_that_no_image_has_any_more_keeps_its_spelling(scene, pets):
    dogs = [f"dog/{n}.png" for n in range(4)]
    child = scene.correct(pets, dict.fromkeys(dogs, "bird"))
    child = scene.correct(child, {"dog/0.png": "DOG"})

    assert scene.labels(child)["dog/0.png"] == "dog"
    undone = scene.correct(child, dict.fromkeys(dogs, "dog"))
    assert scene.corrections(undone)["corrections"] == []


def test_no_near_doubles_are_counted_where_it_was_not_looked_for_them(scene, own):
    scene.stores.datasets.update(own, lambda record: setattr(record, "doubles", None))

    child = scene.correct(own, {"cat/1.png": "dog"})

    assert scene.get(f"/v1/datasets/{child}")["doubles"] is None
    answer = scene.call("GET", f"/v1/datasets/{child}/doubles")
    assert (answer.status_code, "did not look" in answer.text) == (409, True)


def test_labels_that_were_to_stay_apart_do(scene):
    pets = scene.read(reading='{"merge_alike": false}')

    assert scene.labels(scene.correct(pets, {"cat/1.png": "DOG"}))["cat/1.png"] == "DOG"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"0" * 64: "dog"}, f"{'0' * 64}: dataset .* has no such image"),
        ({"dog/broken.png": "dog"}, "'dog/broken.png' can't be corrected, as it can't be used: "),
        ({"cat/1.png": "  "}, "expected a label. Received: an empty text"),
        ({"cat/1.png": "a\x07"}, "without control characters"),
        ({"cat/1.png": "a\nb"}, "without control characters"),
        ({"cat/1.png": "a" * 1025}, "at most 1024 characters"),
        ({"cat/1.png": "cat", "cat/both.png": None}, "Nothing changes"),
        ({f"cat/{n}.png": "dog" for n in range(4)}, "at least two labels.*'dog' with 8 images"),
    ],
)
def test_what_can_not_be_corrected_is_refused_in_words(scene, pets, changes, reason):
    assert re.search(reason, scene.refused(pets, changes))


@pytest.mark.parametrize("body", [{}, [], {"abc": "dog"}, {"0" * 64: 5}, {"0" * 64: True}])
def test_a_request_of_another_shape_is_refused(scene, pets, body):
    assert scene.call("POST", f"/v1/datasets/{pets}/corrections", json=body).status_code == 422


def test_no_more_labels_than_a_training_may_have(scene, pets, monkeypatch):
    monkeypatch.setattr(scene.settings, "max_labels", 3)

    assert "HEADSTART_MAX_LABELS" in scene.refused(pets, {"cat/1.png": "fox", "cat/2.png": "owl"})
    assert scene.correct(pets, {"cat/1.png": "fox"})


def test_only_a_dataset_that_is_read_and_not_doubted_is_corrected(scene):
    unread = scene.call("POST", "/v1/datasets", json={"path": "."}).json()["id"]
    doubtful = scene.read()
    scene.stores.datasets.update(doubtful, lambda record: setattr(record, "doubt", "Odd."))

    assert "it is queued" in scene.refused(unread, {"cat/1.png": "dog"}, 409)
    assert "until that is confirmed" in scene.refused(doubtful, {"cat/1.png": "dog"})
    assert "no dataset" in scene.refused("20261123-153522-1f25fc", {"cat/1.png": "dog"}, 404)


def test_a_request_that_is_sent_again_makes_one_dataset(scene, pets):
    headers = {"Idempotency-Key": "1"}
    first = scene.post(pets, {"cat/1.png": "dog"}, headers=headers)

    again = scene.post(pets, {"cat/1.png": "dog"}, headers=headers)
    other = scene.post(pets, {"cat/2.png": "dog"}, headers=headers)

    assert (again.status_code, again.json()) == (201, first.json())
    assert other.status_code == 422


def test_a_parent_is_not_removed_under_its_children(scene, own):
    child = scene.correct(own, {"cat/1.png": "dog"})
    grandchild = scene.correct(child, {"cat/2.png": "dog"})

    for parent, made in ((own, child), (child, grandchild)):
        answer = scene.call("DELETE", f"/v1/datasets/{parent}")
        assert answer.status_code == 409
        assert f"dataset {made!r} was made of it" in answer.json()["detail"]

    for dataset in (grandchild, child, own):
        assert scene.call("DELETE", f"/v1/datasets/{dataset}").status_code == 204


def test_not_even_if_a_record_is_damaged(scene, own):
    child = scene.correct(own, {"cat/1.png": "dog"})
    for dataset in (child, own):
        (scene.stores.datasets.directory(dataset) / "record.json").write_text("{")

    assert scene.call("DELETE", f"/v1/datasets/{own}").status_code == 409
    assert scene.call("DELETE", f"/v1/datasets/{child}").status_code == 204
    assert scene.call("DELETE", f"/v1/datasets/{own}").status_code == 204


@pytest.mark.parametrize("make", ["file", "pipe"])
def test_not_even_if_something_else_is_in_the_place_of_its_children(scene, own, make):
    child = scene.correct(own, {"cat/1.png": "dog"})
    place = scene.stores.datasets.directory(own) / "children"
    shutil.rmtree(place)
    place.write_text("x") if make == "file" else os.mkfifo(place)

    removed = scene.call("DELETE", f"/v1/datasets/{own}")
    read = scene.call("PUT", f"/v1/datasets/{own}/reading", json={"level": 1})
    corrected = scene.post(own, {"cat/2.png": "dog"})

    said = f"datasets/{own}/children should be a folder"
    for answer, status in ((removed, 409), (read, 409), (corrected, 500)):
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    with pytest.raises(RecordCorrupt, match=said):
        delete_unused(scene.stores, own)
    place.unlink()
    place.mkdir()
    (place / child).touch()
    assert scene.call("DELETE", f"/v1/datasets/{own}").status_code == 409
    assert scene.correct(own, {"cat/2.png": "dog"})


def test_retention_keeps_a_parent_as_long_as_its_child(tmp_path, scene):
    scene = Scene(scene.settings.model_copy(update={"store": tmp_path}))
    pets = scene.read()
    child = scene.correct(pets, {"cat/1.png": "dog"})
    training = new_record(State.SUCCEEDED, dataset=child)
    scene.stores.trainings.create(training)
    kept = scene.settings.model_copy(update={"keep_datasets_days": 1})

    def retain():
        return Retention(scene.stores, kept, lambda: time.time() + 2 * DAY)()

    assert retain() == []
    scene.stores.trainings.delete(training.id)
    assert retain() == [f"datasets/{child}", f"datasets/{pets}"]


def test_neither_a_parent_nor_a_child_is_read_in_another_way(scene, own):
    child = scene.correct(own, {"cat/1.png": "dog"})

    for dataset, words in ((own, f"dataset {child!r} was made of it"), (child, repr(own))):
        answer = scene.call("PUT", f"/v1/datasets/{dataset}/reading", json={"level": 1})
        assert answer.status_code == 409
        assert words in answer.json()["detail"]


def test_a_child_says_that_the_dataset_with_its_images_is_gone(scene, own):
    child = scene.correct(own, {"cat/1.png": "dog"})
    shutil.rmtree(scene.stores.datasets.directory(own))

    record = scene.get(f"/v1/datasets/{child}")

    assert record["state"] == "failed"
    assert f"made of dataset {own}" in record["error"]["detail"]
    assert "is gone" in scene.refused(child, {"cat/2.png": "dog"})
    training = scene.call(
        "POST", "/v1/trainings", json={"dataset": child, "architecture": ARCHITECTURE}
    )
    assert (training.status_code, "is gone" in training.text) == (422, True)
    with pytest.raises(InvalidDataset, match="is gone"):
        Dataset.open(scene.stores.datasets, scene.settings, child).require_owners()


def test_a_parent_whose_record_is_damaged_takes_no_image_from_its_child(scene, own):
    child = scene.correct(own, {"cat/1.png": "dog"})
    (scene.stores.datasets.directory(own) / "record.json").write_text("{")
    dataset = Dataset.open(scene.stores.datasets, scene.settings, child)

    assert len([dataset.files().read(i.file, i.sha256) for i in dataset.used_images()]) == 8
    assert scene.call("GET", f"/v1/datasets/{child}").json()["state"] == DatasetState.READY
    assert scene.correct(child, {"cat/2.png": "dog"})


@pytest.mark.parametrize("name", ["images.jsonl", "additions.jsonl", "corrections.jsonl"])
def test_no_label_that_has_changed_on_the_disk_is_handed_on(scene, own, name):
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        archive.writestr("dog/new.png", picture((1, 250, 1)))
    new = {"archive": ("new.zip", packed.getvalue())}
    added = scene.call("POST", f"/v1/datasets/{own}/images", files=new).json()["id"]
    reading.read(scene.stores.datasets, scene.settings, added)
    child = scene.correct(added, {"cat/1.png": "dog"})
    file = scene.stores.datasets.directory(own if name == "images.jsonl" else child) / name
    file.write_bytes(file.read_bytes().replace(b'"dog"', b'"cat"'))

    told = scene.refused(child, {"cat/2.png": "dog"}, 500)

    assert f"dataset {child} has other images or labels than when it was read" in told


def test_a_list_of_corrections_that_ends_too_early_is_told(scene, pets):
    child = scene.correct(pets, {"cat/1.png": "dog", "cat/2.png": "dog"})
    file = scene.stores.datasets.directory(child) / "corrections.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])

    answer = scene.call("GET", f"/v1/datasets/{child}/corrections")

    assert (answer.status_code, answer.json()["title"]) == (500, RecordCorrupt.title)
    assert f"{child}/corrections.jsonl is damaged: 1 are in it; 2 were" in answer.json()["detail"]


@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a line less"])
def test_no_rejected_file_is_lost_on_the_way_to_a_child(scene, own, damage):
    file = scene.stores.datasets.directory(own) / "rejected.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage == "a pipe":
        os.mkfifo(file)
    else:
        file.write_bytes(b"".join(lines[:-1]))

    told = scene.refused(own, {"cat/1.png": "dog"}, 500)

    assert f"{own}/rejected.jsonl is damaged" in told


@pytest.mark.parametrize("name", ["corrections.jsonl", "additions.jsonl"])
def test_damaged_corrections_are_named(scene, pets, name):
    child = scene.correct(pets, {"cat/1.png": "dog"})
    (scene.stores.datasets.directory(child) / name).write_text("{\n")

    answer = scene.post(child, {"cat/2.png": "dog"})

    assert (answer.status_code, f"{child}/{name} is damaged" in answer.text) == (500, True)


@pytest.mark.parametrize("name", ["corrections.jsonl", "additions.jsonl", "images.jsonl"])
@pytest.mark.parametrize("is_gone", [False, True], ids=["ends early", "is gone"])
def test_nothing_is_made_of_a_dataset_of_which_a_part_is_lost(scene, name, is_gone):
    parent = scene.read()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fox/1.png", picture((1, 250, 1)))
    new = {"archive": ("new.zip", packed.getvalue())}
    added = scene.call("POST", f"/v1/datasets/{parent}/images", files=new).json()["id"]
    reading.read(scene.stores.datasets, scene.settings, added)
    child = scene.correct(added, {"cat/1.png": "dog"})
    file = scene.stores.datasets.directory(parent if name == "images.jsonl" else child) / name
    lines = file.read_bytes().splitlines(keepends=True)
    file.unlink()
    if not is_gone:
        file.write_bytes(b"".join(lines[:-4]))
    told = f"{file.parent.name}/{name} is damaged"

    assert told in scene.refused(child, {"cat/2.png": "dog"}, 500)
    answer = scene.call("POST", f"/v1/datasets/{child}/images", files=new)
    assert (answer.status_code, told in answer.text) == (500, True)


def test_a_record_that_names_no_owner_leads_to_no_file(scene, pets):
    child = scene.correct(pets, {"cat/1.png": "dog"})
    directory = scene.stores.datasets.directory(child)
    lines = [json.loads(line) for line in (directory / "images.jsonl").read_text().splitlines()]
    for line in lines:
        line["file"] = f"../{line['file']}"
    (directory / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = Dataset.open(scene.stores.datasets, scene.settings, child)
    image = dataset.used_images()[0]

    with pytest.raises(InvalidImage, match="can't be read"):
        dataset.files().read(image.file, image.sha256)
    address = f"/v1/datasets/{child}/images/{HASH['dog/3.png']}"
    assert scene.call("GET", address).status_code in {404, 500}
