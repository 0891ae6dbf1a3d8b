"""Images are added to a dataset: another one is made of it, which keeps only these."""

import hashlib
import io
import zipfile

import pytest

from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import caller
from tests.trainer_service.datasets.scan.test_likeness import scene as likeness_scene
from trainer_service.datasets import reading
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.scan.looks import LOOKS_FILE
from trainer_service.datasets.splits import assign_splits
from trainer_service.errors import InvalidDataset, RecordCorrupt
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.stores import Stores

NOWHERE = "redis://127.0.0.1:1/0"
CATS = {f"cat/{n}.png": picture((200, n, 0)) for n in range(3)}
DOGS = {f"dog/{n}.png": picture((0, n, 200)) for n in range(3)}
BROKEN = b"\x89PNG\r\n\x1a\n"
NEW = [picture((n, 250, n)) for n in range(6)]
#: Too large to be its own thumbnail.
LARGE = picture((1, 250, 2), size=400)


class Scene:
    """The API, and a worker that reads in this process what was submitted."""

    def __init__(self, settings):
        self.settings = settings
        self.call = caller(settings)
        self.stores = Stores.open(settings)

    def read(self, answer):
        assert answer.status_code == 202, answer.text
        reading.read(self.stores.datasets, self.settings, answer.json()["id"])
        return self.get(f"/v1/datasets/{answer.json()['id']}")

    def dataset(self, files):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        archive = {"archive": ("pets.zip", packed.getvalue())}
        return self.read(self.call("POST", "/v1/datasets", files=archive))["id"]

    def post(self, dataset_id, files, headers=None, **fields):
        parts = [("files", (name, data)) for name, data in files.items()]
        path = f"/v1/datasets/{dataset_id}/images"
        return self.call("POST", path, files=parts, data=fields, headers=headers)

    def add(self, dataset_id, files, **fields):
        return self.read(self.post(dataset_id, files, **fields))

    def failed(self, dataset_id, files, **fields):
        answer = self.post(dataset_id, files, **fields)
        with pytest.raises(InvalidDataset):
            self.read(answer)
        record = self.get(f"/v1/datasets/{answer.json()['id']}")
        assert record["state"] == "failed"
        return record["error"]["detail"]

    def get(self, path):
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def labels(self, dataset):
        images = self.get(f"/v1/datasets/{dataset['id']}/images?verdict=used")["images"]
        return {image["name"]: image["label"] for image in images}

    def rejected(self, dataset):
        rejected = self.get(f"/v1/datasets/{dataset['id']}/rejected")["rejected"]
        return {file["name"]: file["detail"] for file in rejected}


def photo(number, quality=90):
    """A picture that is like no other one, but for those of its number."""
    buffer = io.BytesIO()
    likeness_scene(number).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def splits_of(scene, dataset_id):
    """The part of each used image, by its name."""
    used = Dataset.open(scene.stores.datasets, scene.settings, dataset_id).used_images()
    splits = assign_splits(used)
    return {image.name: splits[image.sha256] for image in used}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    store = tmp_path_factory.mktemp("scene")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer_service.queue.api_queue.ApiQueue.read_dataset", lambda *_: None)
        yield Scene(TrainerSettings(store=store, redis_url=NOWHERE))


@pytest.fixture(scope="module")
def pets(scene):
    return scene.dataset(CATS | DOGS)


def test_images_of_one_label_are_added_and_the_parent_stays_as_it_is(scene, pets):
    before = scene.get(f"/v1/datasets/{pets}")
    answer = scene.post(pets, {"1.png": NEW[0], "2.png": NEW[1]}, label=" CAT ")
    queued = answer.json()

    child = scene.read(answer)

    assert (queued["state"], answer.headers["location"]) == (
        "queued",
        f"/v1/datasets/{child['id']}",
    )
    assert (child["state"], child["parent"], child["added"]) == ("ready", pets, 2)
    assert child["labels"] == {"cat": 5, "dog": 3}
    assert scene.labels(child)["1.png"] == "cat"
    assert scene.get(f"/v1/datasets/{pets}") == before
    assert scene.get(f"/v1/datasets/{child['id']}/corrections")["added"] == 2


def test_without_a_label_the_folder_of_each_image_is_its_label(scene, pets):
    child = scene.add(pets, {"new/fox/1.png": NEW[0], "Dog/9.png": NEW[1], "lost.png": NEW[2]})

    assert child["labels"] == {"cat": 3, "dog": 4, "fox": 1}
    assert scene.rejected(child)["lost.png"]


def test_a_child_keeps_its_own_images_and_no_others(scene, pets):
    first = scene.add(pets, {"1.png": NEW[0], "large.png": LARGE}, label="cat")
    child = scene.add(first["id"], {"2.png": NEW[1]}, label="dog")

    dataset = Dataset.open(scene.stores.datasets, scene.settings, child["id"])

    assert child["labels"] == {"cat": 5, "dog": 4}
    own = [path.name for path in (dataset.directory / "images").rglob("*") if path.is_file()]
    assert own == [hashlib.sha256(NEW[1]).hexdigest()]
    dataset.files().require()
    data = CATS | DOGS | {"1.png": NEW[0], "large.png": LARGE, "2.png": NEW[1]}
    for image in dataset.used_images():
        assert dataset.files().read(image.file, image.sha256) == data[image.name]
    large = hashlib.sha256(LARGE).hexdigest()
    small = scene.call("GET", f"/v1/datasets/{child['id']}/images/{large}/thumbnail")
    assert small.content not in {b"", LARGE}


def test_added_images_can_be_corrected_and_corrections_stay_when_images_are_added(scene, pets):
    sha256, cat = (hashlib.sha256(data).hexdigest() for data in (NEW[0], CATS["cat/1.png"]))
    first = scene.add(pets, {"1.png": NEW[0]}, label="cat")
    path = f"/v1/datasets/{first['id']}/corrections"
    second = scene.call("POST", path, json={sha256: "dog", cat: "dog"}).json()

    child = scene.add(second["id"], {"2.png": NEW[1]}, label="dog")

    assert child["labels"] == {"cat": 2, "dog": 6}
    page = scene.get(f"/v1/datasets/{child['id']}/corrections")
    assert [(one["name"], one["from"], one["to"]) for one in page["corrections"]] == [
        ("1.png", "cat", "dog"),
        ("cat/1.png", "cat", "dog"),
    ]
    assert (page["added"], page["corrected"], page["root"]) == (2, 2, pets)


def test_what_can_not_be_added_is_told(scene, pets):
    files = {"1.png": NEW[0], "again.png": NEW[0], "old.png": CATS["cat/1.png"], "b.png": BROKEN}

    child = scene.add(pets, files, label="dog")

    rejected = scene.rejected(child)
    assert rejected["old.png"] == "the dataset has it already, as 'cat': cat/1.png"
    assert rejected["again.png"] == "duplicate of 1.png"
    assert rejected["b.png"]
    assert (child["added"], child["labels"]["dog"]) == (1, 4)
    assert len(list((scene.settings.store / "datasets" / child["id"] / "images").glob("*/*"))) == 1


def test_what_was_told_when_images_were_added_is_told_of_all_that_is_made_of_them(scene, pets):
    link = zipfile.ZipInfo("fox/link.png")
    link.external_attr = 0o120777 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fox/1.png", NEW[0])
        archive.writestr("fox/b.png", BROKEN)
        archive.writestr(link, "1.png")
    path = f"/v1/datasets/{pets}/images"
    child = scene.read(scene.call("POST", path, files={"archive": ("new.zip", packed.getvalue())}))
    rejected = scene.rejected(child)
    sha256 = hashlib.sha256(NEW[0]).hexdigest()

    path = f"/v1/datasets/{child['id']}/corrections"
    corrected = scene.call("POST", path, json={sha256: "cat"}).json()
    grown = scene.add(corrected["id"], {"2.png": NEW[1]}, label="cat")

    assert {"fox/b.png", "fox/link.png"} == set(rejected)
    assert scene.rejected(corrected) == scene.rejected(grown) == rejected


def test_if_nothing_can_be_added_the_reasons_are_told(scene, pets):
    detail = scene.failed(pets, {"old.png": CATS["cat/1.png"], "b.png": BROKEN}, label="dog")

    assert "None of the 2 images can be added. b.png: " in detail
    assert "the dataset has it already" in detail
    assert "no folder" in scene.failed(pets, {"1.png": NEW[0]})


@pytest.mark.parametrize(
    ("files", "fields", "reason"),
    [
        ({"1.png": NEW[0]}, {"label": "a\x07"}, "label: expected a label without control"),
        ({"1.png": NEW[0]}, {"label": "a" * 1025}, "at most 1024 characters"),
        ({"1.png": NEW[0]}, {"lable": "cat"}, "lable"),
    ],
)
def test_a_wrong_form_is_refused_and_leaves_nothing(scene, pets, files, fields, reason):
    before = set(scene.settings.store.glob("*/*"))

    answer = scene.post(pets, files, **fields)

    assert (answer.status_code, reason in answer.text) == (422, True)
    assert set(scene.settings.store.glob("*/*")) == before


def test_images_are_sent_in_a_form(scene, pets):
    answer = scene.call("POST", f"/v1/datasets/{pets}/images", json={"label": "cat"})

    assert (answer.status_code, "multipart form" in answer.text) == (422, True)


def test_a_request_that_is_sent_again_makes_one_dataset(scene, pets):
    headers, files = {"Idempotency-Key": "1"}, {"1.png": NEW[0]}
    first = scene.post(pets, files, headers, label="cat")

    assert scene.post(pets, files, headers, label="cat").json() == first.json()
    assert scene.post(pets, files, headers, label="dog").status_code == 422


def test_a_try_that_was_broken_off_is_repeated(scene, pets, monkeypatch):
    answer = scene.post(pets, {"1.png": NEW[0]}, label="cat")
    module = "trainer_service.datasets.children.lineage.save_rejected"
    with monkeypatch.context() as patch:
        patch.setattr(module, lambda *_: (_ for _ in ()).throw(OSError(5, "broken off")))
        with pytest.raises(OSError, match="broken off"):
            scene.read(answer)

    def requeue(record):
        record.state, record.error = DatasetState.QUEUED, None

    scene.stores.datasets.update(answer.json()["id"], requeue)
    child = scene.read(answer)

    assert (child["added"], child["labels"]) == (1, {"cat": 4, "dog": 3})


def test_a_parent_that_is_gone_fails_the_reading_in_words(scene):
    parent = scene.dataset(CATS | DOGS)
    answer = scene.post(parent, {"1.png": NEW[0]}, label="cat")
    (scene.settings.store / "datasets" / parent).rename(scene.settings.store / "away")

    with pytest.raises(InvalidDataset, match=f"made of dataset {parent}"):
        scene.read(answer)


def test_a_parent_is_not_removed_while_images_are_added_to_it(scene):
    parent = scene.dataset(CATS | DOGS)
    child = scene.post(parent, {"1.png": NEW[0]}, label="cat").json()

    answer = scene.call("DELETE", f"/v1/datasets/{parent}")

    assert (answer.status_code, child["id"] in answer.text) == (409, True)


def test_an_added_near_double_goes_where_the_image_is_that_is_there(scene):
    pictures = {
        f"{label}/{n}.jpg": photo(10 * at + n) for at, label in enumerate("ab") for n in range(6)
    }
    parent = scene.dataset(pictures)
    before = splits_of(scene, parent)
    smaller = {f"a/s{n}.jpg": photo(n, quality=60) for n in range(6)}

    child = scene.add(parent, smaller)
    again = scene.add(child["id"], {f"a/t{n}.jpg": photo(n, quality=75) for n in range(6)})

    after = splits_of(scene, again["id"])
    assert {name: after[name] for name in before} == before
    assert len(set(before.values())) > 1
    for n in range(6):
        assert after[f"a/{n}.jpg"] == after[f"a/s{n}.jpg"] == after[f"a/t{n}.jpg"]
    assert (child["doubles"]["groups"], child["doubles"]["images"]) == (6, 12)
    assert (again["doubles"]["groups"], again["doubles"]["images"]) == (6, 18)


def test_what_is_added_and_too_much_for_a_group_is_told(scene):
    parent = scene.dataset(
        {f"{label}/{n}.jpg": photo(10 * n + ord(label)) for label in "ab" for n in range(4)}
    )

    child = scene.add(parent, {f"a/f{n:03}.jpg": photo(3) + bytes([0, n]) for n in range(110)})

    crowds = child["doubles"]["crowds"]
    assert (crowds["images"], crowds["example"]) == (110, "a/f000.jpg and a/f001.jpg")


def test_a_group_may_grow_beyond_what_is_a_group_at_first(scene):
    """Its images have their part already; what is added goes where they are."""
    parent = scene.dataset(
        {f"{label}/{n}.jpg": photo(10 * n + ord(label)) for label in "ab" for n in range(4)}
    )
    more = {f"a/f{n:03}.jpg": photo(ord("a")) + bytes([0, n]) for n in range(110)}

    child = scene.add(parent, more)

    assert (child["doubles"]["groups"], child["doubles"]["images"]) == (1, 111)
    assert child["doubles"]["crowds"]["images"] == 0
    splits = splits_of(scene, child["id"])
    assert {splits[name] for name in more} == {splits["a/0.jpg"]}


def test_an_added_near_double_of_a_test_image_is_told_as_a_leak(scene):
    places = [
        f"{part}/{label}/{n}.jpg" for part in ("train", "test") for label in "ab" for n in "123"
    ]
    files = {name: photo(number) for number, name in enumerate(places)}
    parent = scene.dataset(files)

    child = scene.add(parent, {"a/new.jpg": photo(6, quality=60)})

    assert child["has_split"]
    assert child["doubles"]["leaks"] == 1


def test_damaged_looks_are_named_and_missing_ones_are_none(scene):
    parent = scene.dataset(CATS | DOGS)
    looks = scene.stores.datasets.directory(parent) / LOOKS_FILE
    looks.write_bytes(b"damaged")

    with pytest.raises(RecordCorrupt, match=f"{parent}/{LOOKS_FILE} is damaged"):
        scene.read(scene.post(parent, {"1.png": NEW[0]}, label="cat"))
    looks.unlink()
    assert scene.add(parent, {"1.png": NEW[0]}, label="cat")["added"] == 1


@pytest.mark.parametrize("earlier", [True, False])
def test_what_can_not_be_compared_with_what_is_there_is_told(scene, earlier):
    """An earlier release has kept no looks; what is made of its datasets says so, once."""
    parent = scene.dataset(CATS | DOGS)
    if earlier:
        (scene.stores.datasets.directory(parent) / LOOKS_FILE).unlink()
        scene.stores.datasets.update(parent, lambda record: setattr(record, "doubles", None))

    child = scene.add(parent, {"1.png": NEW[0]}, label="cat")
    again = scene.add(child["id"], {"2.png": NEW[1]}, label="cat")

    for made in (child, again):
        told = [note["text"] for note in made["notes"] if "not compared" in note["text"]]
        assert len(told) == earlier
