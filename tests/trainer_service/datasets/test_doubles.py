"""Nearly equal images, from the reading of a dataset to the list of them."""

import io
import json
import zipfile

import pytest
from PIL import Image

from shared.errors import Conflict
from tests.support.trainer.api_client import caller
from tests.support.trainer.builders import new_dataset_record
from tests.trainer_service.datasets.scan.test_likeness import scene
from trainer_service.datasets import reading
from trainer_service.datasets.create import UPLOAD_FILE, new_dataset
from trainer_service.datasets.doubles import DOUBLES_FILE, doubles_page
from trainer_service.datasets.records import RECORDS_FILE, load_images
from trainer_service.datasets.scan.likeness import MOST_OF_A_GROUP
from trainer_service.datasets.scan.looks import LOOKS_FILE
from trainer_service.errors import RecordCorrupt
from trainer_service.requests.lists import ListQuery
from trainer_service.requests.reading import ReadingRequest
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.events import events_of
from trainer_service.store.stores import Stores


def jpeg(image, quality=90, scale=1.0):
    small = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def settings(tmp_path):
    return TrainerSettings(store=tmp_path, redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def datasets(settings):
    return Stores.open(settings).datasets


@pytest.fixture
def read(settings, datasets):
    """Return a function that reads images, by their names, and returns the dataset's record."""

    def read(files):
        record = new_dataset("pets.zip", path=False, submitted=True)
        directory = datasets.create(record)
        with zipfile.ZipFile(directory / UPLOAD_FILE, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return reading.read(datasets, settings, record.id)

    return read


def pictures(prefix=""):
    """Four images of each of two labels."""
    return {
        f"{prefix}{label}/{n}.jpg": jpeg(scene(10 * start + n))
        for start, label in enumerate(("cat", "dog"))
        for n in range(4)
    }


def with_double(prefix=""):
    """The same, and a smaller copy of one of them."""
    return pictures(prefix) | {f"{prefix}cat/again.jpg": jpeg(scene(2), 60, 0.5)}


def test_near_doubles_are_found_as_a_dataset_is_read(settings, read):
    record = read(with_double())
    listed = caller(settings)("GET", f"/v1/datasets/{record.id}/doubles").json()

    assert (record.doubles.groups, record.doubles.images, record.doubles.leaks) == (1, 2, 0)
    [group] = listed["doubles"]
    assert [image["name"] for image in group["images"]] == ["cat/2.jpg", "cat/again.jpg"]
    assert (group["leak"], listed["after"]) == (False, None)
    [note] = [note for note in record.notes if note.kind == "doubles"]
    assert note.text.startswith("2 images are nearly equal to others, in 1 group. Each is kept")


def test_of_a_dataset_without_doubles_none_are_listed(datasets, read):
    record = read(pictures())
    assert (record.doubles.groups, record.doubles.images) == (0, 0)
    assert doubles_page(datasets.directory(record.id), ListQuery(), 0).doubles == []
    assert [note for note in record.notes if note.kind == "doubles"] == []


def test_a_split_that_a_dataset_brings_is_searched_for_leaks(datasets, read):
    test = {f"test/{label}/9.jpg": jpeg(scene(90 + n)) for n, label in enumerate(("cat", "dog"))}
    leak = {"test/cat/again.jpg": jpeg(scene(2), 60, 0.5)}
    record = read(pictures("train/") | test | leak)

    assert record.has_split
    assert record.doubles.leaks == 1
    assert record.doubles.example == "test/cat/again.jpg (test) and train/cat/2.jpg (train)"
    assert doubles_page(datasets.directory(record.id), ListQuery(), 1).doubles[0].leak
    [note] = [note for note in record.notes if note.kind == "doubles"]
    assert "1 of these lie in several parts of the split: test/cat/again.jpg" in note.text


def frames(count, start=0):
    """So many frames of a recording in which nothing moves: each its own bytes."""
    still = jpeg(scene(7))
    return {
        f"{('cat', 'dog')[n % 2]}/frame{start + n:03}.jpg": still + bytes([0, n])
        for n in range(count)
    }


def test_images_that_are_too_many_for_a_group_are_told(settings, datasets, read):
    record = read(pictures() | frames(MOST_OF_A_GROUP + 1))

    crowds = record.doubles.crowds
    assert (record.doubles.groups, crowds.groups, crowds.images) == (0, 1, MOST_OF_A_GROUP + 1)
    [note] = [note for note in record.notes if note.kind == "doubles"]
    assert note.text.startswith("101 images look so much alike, in 1 group of more than a hundred")
    assert "cat/frame000.jpg and cat/frame002.jpg" in note.text

    datasets.update(record.id, lambda current: current.ask(ReadingRequest(labels="folders")))
    again = reading.read(datasets, settings, record.id)
    assert (again.doubles, again.notes) == (record.doubles, record.notes)


def test_doubles_stay_known_when_the_images_are_labelled_anew(settings, datasets, read):
    record = read(with_double())
    datasets.update(record.id, lambda current: current.ask(ReadingRequest(labels="folders")))
    again = reading.read(datasets, settings, record.id)
    assert again.doubles == record.doubles
    assert again.digest == record.digest


def test_a_dataset_of_an_earlier_release_has_none(settings, datasets, read):
    directory = datasets.directory(read(with_double()).id)
    lines = [json.loads(line) for line in (directory / RECORDS_FILE).read_text().splitlines()]
    for line in lines:
        del line["double_of"]
    (directory / RECORDS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert {image.double_of for image in load_images(directory)} == {""}

    (directory / LOOKS_FILE).unlink()
    datasets.update(directory.name, lambda current: current.ask(ReadingRequest(labels="folders")))
    assert reading.read(datasets, settings, directory.name).doubles is None

    record = new_dataset_record()
    datasets.create(record)
    answer = caller(settings)("GET", f"/v1/datasets/{record.id}/doubles")
    assert answer.status_code == Conflict.status
    assert "earlier release" in answer.json()["detail"]


@pytest.mark.parametrize("lost", [9, None], ids=["a part of a line", "all lines"])
def test_a_damaged_list_is_named(settings, datasets, read, lost):
    record = read(with_double())
    file = datasets.directory(record.id) / DOUBLES_FILE
    file.write_bytes(file.read_bytes()[: -lost if lost else 0])
    answer = caller(settings)("GET", f"/v1/datasets/{record.id}/doubles")
    assert answer.status_code == RecordCorrupt.status
    assert f"datasets/{record.id}/{DOUBLES_FILE}" in answer.json()["detail"]


def test_a_leak_is_a_warning_of_each_training(settings, read):
    from tests.support.trainer.builders import new_record

    test = {f"test/{label}/9.jpg": jpeg(scene(90 + n)) for n, label in enumerate(("cat", "dog"))}
    found = read(pictures("train/") | test | {"test/cat/again.jpg": jpeg(scene(2), 60, 0.5)})
    training = new_record(dataset=found.id)
    training.dataset.doubles = found.doubles
    [warning] = [event for event in events_of(training) if event.type == "warning"]
    assert warning.code == "leaks"
    assert (
        "1 group of nearly equal images lies in several of its parts, e.g. test/cat/again.jpg"
        in (warning.detail)
    )
