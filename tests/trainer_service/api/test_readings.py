"""How a dataset is read can be decided when it is submitted, and again later."""

import hashlib
import io
import json
import shutil
import threading
import zipfile
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import ARCHITECTURE, caller, field_of
from tests.support.trainer.builders import new_record
from trainer_service.datasets import reading as reading_module
from trainer_service.datasets.create import UPLOAD_FILE
from trainer_service.datasets.records import IMAGES_FOLDER, RECORDS_FILE
from trainer_service.datasets.scan.found import OTHERS_FILE, TABLES_FILE
from trainer_service.inline import InlineQueue
from trainer_service.phases.prepare import reading_step
from trainer_service.phases.work import Worker
from trainer_service.service import submission
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores
from trainer_service.training import prepare
from trainer_service.worker.retention import Retention

pytestmark = pytest.mark.integration

NOWHERE = "redis://127.0.0.1:1/0"
PETS = ("cat", "dog")
#: Two levels of folders, of which the inner ones are the labels, as they are the same in each.
LEVELS = [f"{room}/{animal}/{n}.png" for animal in PETS for room in "ab" for n in "123"]
#: Nothing but what cameras call images: a reading of these is doubted.
CAMERA = [f"{word}_{n}.png" for word in ("IMG", "DSC") for n in range(10)]
TABLE = "file,animal,colour\n" + "".join(
    f"{n}.png,{'cat' if n % 2 else 'dog'},{'red' if n < 6 else 'blue'}\n" for n in range(12)
)


class Scene:
    """The API, and a worker that reads what was submitted when it is told to."""

    def __init__(self, settings):
        self.settings = settings
        self.call = caller(settings)
        self.stores = Stores.open(settings)
        self.queue = InlineQueue()
        board = ProgressBoard(self.stores.events)
        self.worker = Worker(settings, self.stores, board, self.queue)

    def upload(self, names, files=None, **fields):
        return self.call("POST", "/v1/datasets", data=fields, files=packed(names, files))

    def read(self, answer):
        """Do what an answer has put on the queue, and return the dataset."""
        assert answer.status_code == 202, answer.text
        reading_step.read_dataset(self.worker, answer.json()["id"])
        return self.get(answer.json()["id"])

    def uploaded(self, names, files=None, **fields):
        return self.read(self.upload(names, files, **fields))

    def made(self, kind, names, files, reading):
        """Make a dataset of an upload, or of an archive or a folder by its path, and read it."""
        if kind == "upload":
            return self.uploaded(names, files, reading=json.dumps(reading))
        source = self.settings.datasets / "source"
        if kind == "archive":
            source.write_bytes(packed(names, files)["archive"][1])
        else:
            source.mkdir()
            zipfile.ZipFile(io.BytesIO(packed(names, files)["archive"][1])).extractall(source)
        body = {"path": "source", "reading": reading}
        return self.read(self.call("POST", "/v1/datasets", json=body))

    def get(self, dataset_id):
        return self.call("GET", f"/v1/datasets/{dataset_id}").json()

    def put(self, dataset, **reading):
        return self.call("PUT", f"/v1/datasets/{dataset['id']}/reading", json=reading)

    def train(self, **fields):
        body = {"architecture": ARCHITECTURE, "epochs": 1} | fields
        return self.call("POST", "/v1/trainings", json=body)

    def ended(self, answer):
        """Run a training that was posted to its end, and return it."""
        assert answer.status_code == 202, answer.text
        training = answer.json()
        dataset = training["dataset"]["id"]
        if self.get(dataset)["state"] == "queued":
            reading_step.read_dataset(self.worker, dataset)
        else:
            self.queue.prepare(training["id"])
        self.queue.run(self.worker)
        return self.call("GET", f"/v1/trainings/{training['id']}").json()

    def prepared(self, answer):
        """Prepare a training that was posted, its dataset too if need be, and return its state."""
        assert answer.status_code == 202, answer.text
        posted = answer.json()
        dataset = posted["dataset"]["id"]
        if self.get(dataset)["state"] == "queued":
            reading_step.read_dataset(self.worker, dataset)
        prepare(self.worker, posted["id"])
        return self.call("GET", f"/v1/trainings/{posted['id']}").json()["state"]

    def images(self, dataset):
        return self.call("GET", f"/v1/datasets/{dataset['id']}/images").json()["images"]

    def directory(self, dataset):
        return self.stores.datasets.directory(dataset["id"])


def packed(names, files=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, picture((number * 7 % 256, number, 99)))
        for name, text in (files or {}).items():
            archive.writestr(name, text)
    return {"archive": ("pets.zip", buffer.getvalue())}


@pytest.fixture
def scene(settings):
    return Scene(settings)


@pytest.fixture
def levels(scene):
    return scene.uploaded(LEVELS)


@pytest.fixture
def doubtful(scene):
    dataset = scene.uploaded(CAMERA)
    assert dataset["doubt"]
    return dataset


@pytest.mark.parametrize(
    "form",
    [
        {"reading.level": "1"},
        {"reading": '{"level": 1}'},
        {"reading.level": "-2", "reading.merge_alike": "false"},
    ],
)
def test_a_form_says_how_an_upload_is_read(scene, form):
    dataset = scene.uploaded(LEVELS, **form)

    assert dataset["labels"] == {"a": 6, "b": 6}
    assert dataset["layout"]["level"] == int(form.get("reading.level", 1))
    assert dataset["reading"]["merge_alike"] is ("reading.merge_alike" not in form)


def test_json_says_how_a_path_is_read(scene):
    write(scene.settings.datasets / "rooms", LEVELS)
    body = {"path": "rooms", "reading": {"level": 1}}

    dataset = scene.read(scene.call("POST", "/v1/datasets", json=body))

    assert dataset["labels"] == {"a": 6, "b": 6}
    assert scene.get(dataset["id"])["reading"]["level"] == 1


def write(folder, names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture((number * 7 % 256, number, 99)))


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"reading.level": "deep"}, "reading.level"),
        ({"reading": '{"level": true}'}, "reading.level"),
        ({"reading.level": "99"}, "reading.level"),
        ({"reading": '{"tabel": "a.csv"}'}, "reading.tabel"),
        ({"reading.labels": "stars"}, "reading.labels"),
        ({"reading": '{"splits": {"a": "most"}}'}, "reading.splits.a"),
        ({"reading": "folders"}, "reading"),
        ({"rading.level": "2"}, "rading"),
    ],
)
def test_what_is_wrong_with_a_reading_is_said_by_its_field(scene, form, field):
    assert field_of(scene.upload(LEVELS, **form)) == field
    assert scene.call("GET", "/v1/datasets").json() == []


def test_a_wrong_reading_is_refused_before_the_images_come(scene):
    tail = b'--limit\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\n'
    head = b'--limit\r\nContent-Disposition: form-data; name="reading.level"\r\n\r\n99\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=limit"}
    # The body is cut off: an answer that waits for all of it says that it ends too early.
    body = head + tail + bytes(10_000)

    answer = scene.call("POST", "/v1/datasets", content=body, headers=headers)

    assert field_of(answer) == "reading.level"


def test_a_training_on_a_path_says_how_that_is_read(scene):
    write(scene.settings.datasets / "rooms", LEVELS)

    training = scene.ended(scene.train(dataset={"path": "rooms"}, reading={"level": 1}))

    assert training["error"] is None
    assert training["dataset"]["labels"] == {"a": 6, "b": 6}


def test_how_a_dataset_that_exists_is_read_is_not_said_with_a_training(scene, levels):
    answer = scene.train(dataset=levels["id"], reading={"level": 1})

    assert answer.status_code == 422
    assert f"PUT /v1/datasets/{levels['id']}/reading" in answer.json()["detail"]
    assert scene.get(levels["id"])["state"] == "ready"


@pytest.mark.parametrize(
    ("reading", "labels"),
    [
        ({"level": 1}, {"a": 6, "b": 6}),
        ({"rename": {"cat": "feline"}}, {"dog": 6, "feline": 6}),
        ({"ignore": ["b"]}, {"cat": 3, "dog": 3}),
        ({"ignore": ["b/cat"], "level": 2}, {"cat": 3, "dog": 6}),
    ],
)
def test_a_dataset_is_read_in_another_way(scene, levels, reading, labels):
    assert levels["labels"] == {"cat": 6, "dog": 6}
    before = levels["digest"]

    answer = scene.put(levels, **reading)
    assert answer.json()["state"] == "queued"
    dataset = scene.read(answer)

    assert (dataset["state"], dataset["labels"]) == ("ready", labels)
    assert dataset["digest"] != before
    used = [image["label"] for image in scene.images(dataset) if image["verdict"] == "used"]
    assert Counter(used) == labels
    back = scene.read(scene.put(dataset))
    assert (back["digest"], back["labels"]) == (before, levels["labels"])


def test_another_column_and_another_table(scene):
    other = "file,animal\n" + "".join(f"{n}.png,{'ant' if n < 4 else 'bee'}\n" for n in range(12))
    names = [f"{n}.png" for n in range(12)]
    dataset = scene.uploaded(
        names, {"labels.csv": TABLE, "z.csv": other}, **{"reading.table": "labels.csv"}
    )
    assert dataset["labels"] == {"cat": 6, "dog": 6}

    dataset = scene.read(scene.put(dataset, table="labels.csv", columns={"label": "colour"}))
    assert dataset["labels"] == {"blue": 6, "red": 6}
    assert dataset["layout"]["label_columns"] == ["colour"]
    dataset = scene.read(scene.put(dataset, table="z.csv"))
    assert dataset["labels"] == {"ant": 4, "bee": 8}
    assert dataset["layout"]["tables"] == ["z.csv"]


def test_folders_are_made_parts_of_the_split(scene):
    names = [
        f"{part}/{a}/{n}.png" for part in ("night", "day") for a in ("cat", "dog") for n in "12"
    ]
    dataset = scene.uploaded(names)

    dataset = scene.read(scene.put(dataset, splits={"day": "train", "night": "test"}))

    assert dataset["labels"] == {"cat": 4, "dog": 4}
    assert dataset["splits"] == {"day": "train", "night": "test"}
    assert dataset["has_split"]
    splits = {image["name"].split("/")[0]: image["split"] for image in scene.images(dataset)}
    assert splits == {"day": "train", "night": "test"}


def test_labels_that_are_alike_are_kept_apart_if_that_is_asked_for(scene):
    dataset = scene.uploaded([f"{a}/{n}.png" for a in ("cat", "Cat", "dog") for n in "1234"])
    assert len(dataset["labels"]) == 2

    dataset = scene.read(scene.put(dataset, merge_alike=False))

    assert dataset["labels"] == {"Cat": 4, "cat": 4, "dog": 4}


#: How a reading changes the record of a dataset even if it is refused.
TRIES = {"refused", "revision"}


def without(record, names):
    return {name: value for name, value in record.items() if name not in names}


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        ({"level": 7}, "reading.level"),
        ({"table": "none.csv"}, "reading.table"),
        ({"rename": {"cow": "c"}}, "reading.rename"),
        ({"rename": {"cat": "dog"}}, "at least two labels"),
        ({"ignore": ["a", "b"]}, "All images are left out"),
    ],
)
def test_a_reading_that_does_not_fit_leaves_a_dataset_as_it_was(scene, levels, reading, reason):
    images = scene.images(levels)

    after = scene.read(scene.put(levels, **reading))

    assert without(after, TRIES) == without(levels, TRIES)
    assert reason in after["refused"]["error"]["detail"]
    assert not after["refused"]["error"]["transient"]
    assert {k: v for k, v in after["refused"]["reading"].items() if k in reading} == reading
    assert scene.images(levels) == images
    sha256 = images[0]["sha256"]
    assert scene.call("GET", f"/v1/datasets/{levels['id']}/images/{sha256}").status_code == 200
    assert scene.prepared(scene.train(dataset=levels["id"])) == "bottleneck"


def test_a_reading_that_fits_takes_back_that_another_was_refused(scene, levels):
    assert scene.read(scene.put(levels, level=7))["refused"]

    after = scene.read(scene.put(levels, level=1))

    assert (after["refused"], after["labels"]) == (None, {"a": 6, "b": 6})


def test_lists_do_not_show_what_was_refused(scene, levels):
    scene.read(scene.put(levels, rename={"cow": "c"}))

    [listed] = scene.call("GET", "/v1/datasets").json()

    assert (listed["state"], listed["refused"]) == ("ready", None)


def test_a_training_that_waits_for_a_reading_that_does_not_fit_is_not_done_on_another(
    scene, levels
):
    answer = scene.put(levels, level=7)
    waiting = scene.train(dataset=levels["id"])
    scene.read(answer)
    scene.queue.run(scene.worker)

    failed = scene.call("GET", f"/v1/trainings/{waiting.json()['id']}").json()

    assert (failed["state"], failed["error"]["type"]) == ("failed", "InvalidDataset")
    assert "reading.level" in failed["error"]["detail"]
    assert "stays as it was read before" in failed["error"]["detail"]
    assert scene.prepared(scene.train(dataset=levels["id"])) == "bottleneck"


def test_a_training_is_not_submitted_on_a_reading_that_is_changed_at_that_moment(
    scene, levels, monkeypatch
):
    existing = submission._existing

    def changed(trainer, dataset_id):
        record = existing(trainer, dataset_id)
        assert scene.put(levels, level=1).status_code == 202
        return record

    monkeypatch.setattr(submission, "_existing", changed)

    answer = scene.train(dataset=levels["id"])

    assert answer.status_code == 409
    assert "in another way meanwhile" in answer.json()["detail"]
    assert scene.call("GET", "/v1/trainings").json() == []


@pytest.mark.parametrize("kind", ["upload", "path"])
def test_a_first_reading_that_does_not_fit_is_mended_by_another(scene, kind):
    if kind == "upload":
        answer = scene.upload(LEVELS, **{"reading.level": "7"})
    else:
        write(scene.settings.datasets / "rooms", LEVELS)
        body = {"path": "rooms", "reading": {"level": 7}}
        answer = scene.call("POST", "/v1/datasets", json=body)
    failed = scene.read(answer)
    assert failed["state"] == "failed"

    assert scene.read(scene.put(failed, level=2))["labels"] == {"cat": 6, "dog": 6}


NUMBERS = [f"{n}.png" for n in range(12)]
#: A table that says two things of an image.
TWO_MINDS = TABLE.replace("animal", "label") + "1.png,dog,red\n"


@pytest.mark.parametrize("kind", ["upload", "archive", "folder"])
@pytest.mark.parametrize(
    ("names", "files", "asked", "reading", "labels"),
    [
        (LEVELS, {}, {"level": 7}, {}, {"cat": 6, "dog": 6}),
        (LEVELS, {}, {"rename": {"cat": "dog"}}, {}, {"cat": 6, "dog": 6}),
        (
            NUMBERS,
            {"a.csv": TWO_MINDS},
            {},
            {"columns": {"label": "colour"}},
            {"red": 6, "blue": 6},
        ),
        (
            [
                f"{part}/{a}/{n}.png"
                for part in ("train", "test", "rest")
                for a in PETS
                for n in "12"
            ],
            {},
            {},
            {"ignore": ["rest"]},
            {"cat": 4, "dog": 4},
        ),
    ],
    ids=["level", "names", "table", "strays"],
)
def test_a_dataset_that_failed_for_its_labels_is_mended_once_its_upload_is_gone(
    scene, monkeypatch, kind, names, files, asked, reading, labels
):
    """And nothing of it is read again, as its images were all right."""
    failed = scene.made(kind, names, files, asked)
    assert (failed["state"], failed["error"]["transient"]) == ("failed", False)
    Retention(scene.stores, scene.settings)()
    assert not (scene.directory(failed) / UPLOAD_FILE).exists()
    monkeypatch.setattr(reading_module, "read_dataset", None)

    mended = scene.read(scene.put(failed, **reading))

    assert (mended["state"], mended["error"]) == ("ready", None)
    assert mended["labels"] == labels
    assert mended["in_place"] is (kind == "folder")
    for image in scene.images(mended):
        if image["verdict"] == "used":
            answer = scene.call("GET", f"/v1/datasets/{mended['id']}/images/{image['sha256']}")
            assert hashlib.sha256(answer.content).hexdigest() == image["sha256"]


@pytest.mark.parametrize("kind", ["upload", "archive", "folder"])
def test_a_dataset_without_sound_images_has_to_be_submitted_again(scene, kind):
    failed = scene.made(kind, [], {"cat/1.png": "no", "dog/1.png": "image"}, {})
    assert "None of the 2 images" in failed["error"]["detail"]
    Retention(scene.stores, scene.settings)()
    left = {file.name for file in scene.directory(failed).iterdir()}
    assert not left & {RECORDS_FILE, OTHERS_FILE, IMAGES_FOLDER, UPLOAD_FILE}

    answer = scene.put(failed, confirm=True)

    if kind == "upload":
        assert answer.status_code == 409
        assert "its archive is not kept any more" in answer.json()["detail"]
    else:
        assert "None of the 2 images" in scene.read(answer)["error"]["detail"]


def test_a_dataset_that_is_being_read_keeps_its_reading(scene, levels):
    queued = scene.upload(LEVELS).json()
    assert scene.put(queued, level=1).status_code == 409
    with scene.stores.datasets.lease(levels["id"]):
        answer = scene.put(levels, level=1)

    assert answer.status_code == 409
    assert "is being read" in answer.json()["detail"]
    assert scene.get(levels["id"]) == levels


@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_worker_that_has_just_read_a_dataset_is_waited_for(scene, levels, method):
    """The record says that it is read a moment before the worker releases its lease."""
    held = ExitStack()
    held.enter_context(scene.stores.datasets.lease(levels["id"]))
    threading.Timer(0.3, held.close).start()
    if method == "put":
        assert scene.put(levels, level=1).status_code == 202
    else:
        assert scene.call("DELETE", f"/v1/datasets/{levels['id']}").status_code == 204


def test_a_dataset_that_a_training_uses_keeps_its_reading(scene, levels):
    training = new_record(dataset=levels["id"])
    scene.stores.trainings.create(training)

    answer = scene.put(levels, level=1)

    assert answer.status_code == 409
    assert training.id in answer.json()["detail"]
    assert scene.get(levels["id"]) == levels


def test_datasets_that_are_read_in_another_way_count_as_those_that_wait(scene, levels):
    other = scene.uploaded(LEVELS)
    scene.call = caller(scene.settings.model_copy(update={"max_open_jobs": 1}))
    assert scene.put(levels, level=1).status_code == 202
    refused = scene.put(other, level=1)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert "HEADSTART_MAX_OPEN_JOBS allows 1 datasets" in refused.json()["detail"]
    assert scene.get(other["id"]) == other
    reading_step.read_dataset(scene.worker, levels["id"])
    assert scene.put(other, level=1).status_code == 202


def test_without_redis_a_dataset_stays_as_it_was_read(scene, levels):
    away = Scene(scene.settings.model_copy(update={"redis_url": NOWHERE}))

    assert away.put(levels, level=1).status_code == 503
    after = scene.get(levels["id"])
    assert {k: v for k, v in after.items() if k != "updated_at"} == {
        k: v for k, v in levels.items() if k != "updated_at"
    }


@pytest.mark.parametrize("body", [{"level": 99}, {"tabel": "x"}, []])
def test_a_malformed_reading_changes_nothing(scene, levels, body):
    answer = scene.call("PUT", f"/v1/datasets/{levels['id']}/reading", json=body)

    assert answer.status_code == 422
    assert scene.get(levels["id"]) == levels


def test_there_is_no_reading_of_a_dataset_that_is_not_there(scene):
    assert scene.put({"id": "20261123-153522-1f25fc"}, level=2).status_code == 404


def test_nothing_is_trained_on_a_doubtful_dataset_until_it_is_confirmed(scene, doubtful):
    answer = scene.train(dataset=doubtful["id"])
    detail = answer.json()["detail"]
    assert answer.status_code == 422
    assert doubtful["doubt"] in detail
    assert f'PUT /v1/datasets/{doubtful["id"]}/reading with {{"confirm":true}}' in detail

    confirmed = scene.read(scene.put(doubtful, confirm=True))
    assert (confirmed["doubt"], confirmed["labels"]) == ("", doubtful["labels"])
    assert scene.prepared(scene.train(dataset=doubtful["id"])) == "bottleneck"


def test_the_reading_that_confirms_keeps_earlier_decisions(scene):
    """Confirming without the earlier decisions would have the dataset read in yet another way."""
    dataset = scene.uploaded([f"x/{n}" for n in CAMERA], **{"reading.labels": "file names"})
    detail = scene.train(dataset=dataset["id"]).json()["detail"]
    [said] = [json.loads(part.split("}")[0] + "}") for part in detail.split(" with ")[1:2]]

    assert said == {"labels": "file names", "confirm": True}
    assert scene.read(scene.put(dataset, **said))["labels"] == dataset["labels"]


def test_a_training_whose_upload_is_doubtful_fails_and_says_what_to_do(scene):
    data = {"architecture": ARCHITECTURE, "epochs": "1"}
    answer = scene.call("POST", "/v1/trainings", data=data, files=packed(CAMERA))
    failed = scene.ended(answer)
    dataset = scene.get(failed["dataset"]["id"])
    assert (failed["state"], failed["error"]["type"]) == ("failed", "InvalidDataset")
    assert dataset["doubt"] in failed["error"]["detail"]
    assert f"PUT /v1/datasets/{dataset['id']}/reading" in failed["error"]["detail"]

    scene.read(scene.put(dataset, confirm=True))
    assert scene.prepared(scene.train(dataset=dataset["id"])) == "bottleneck"


def test_an_upload_may_be_confirmed_beforehand(scene):
    data = {"architecture": ARCHITECTURE, "epochs": "1", "reading.confirm": "true"}
    answer = scene.call("POST", "/v1/trainings", data=data, files=packed(CAMERA))

    assert scene.prepared(answer) == "bottleneck"


def as_earlier_releases_wrote_it(scene, dataset):
    """Take from a dataset what they did not write."""
    directory = scene.directory(dataset)
    for name in (OTHERS_FILE, TABLES_FILE):
        (directory / name).unlink()
    file = directory / "record.json"
    record = json.loads(file.read_text())
    for name in ("splits", "notes", "unused", "readings", "doubt", "reading"):
        del record[name]
    file.write_text(json.dumps(record | {"layout": "csv"}))
    return Scene(scene.settings)


@pytest.mark.parametrize("written", ["prefix", {"kind": "prefix"}])
def test_labels_in_file_names_have_one_word_in_answers_requests_and_earlier_records(scene, written):
    dataset = scene.uploaded([f"{animal}.{n}.png" for animal in PETS for n in "123"])
    assert dataset["layout"]["kind"] == "file names"
    file = scene.directory(dataset) / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"layout": written}))
    later = Scene(scene.settings)

    kind = later.get(dataset["id"])["layout"]["kind"]

    assert kind == "file names"
    assert later.read(later.put(dataset, labels=kind))["labels"] == {"cat": 3, "dog": 3}


def test_an_upload_of_an_earlier_release_is_not_read_in_another_way(scene, levels):
    later = as_earlier_releases_wrote_it(scene, levels)
    before = later.get(levels["id"])
    assert before["layout"]["kind"] == "table"

    answer = later.put(levels, level=1)

    assert answer.status_code == 409
    assert "earlier release" in answer.json()["detail"]
    assert later.get(levels["id"]) == before
    assert len(later.images(levels)) == len(LEVELS)


def test_a_folder_that_an_earlier_release_has_read_is_read_again(scene):
    folder = scene.settings.datasets / "rooms"
    write(folder, LEVELS)
    dataset = scene.read(scene.call("POST", "/v1/datasets", json={"path": "rooms"}))
    later = as_earlier_releases_wrote_it(scene, dataset)

    before = later.images(dataset)
    assert later.read(later.put(dataset, level=7))["refused"]
    assert later.images(dataset) == before
    assert later.read(later.put(dataset, level=1))["labels"] == {"a": 6, "b": 6}
    shutil.rmtree(folder)
    assert later.read(later.put(dataset, level=2))["labels"] == {"cat": 6, "dog": 6}


def test_an_archive_that_an_earlier_release_has_read_keeps_its_images_though_it_is_gone(scene):
    dataset = scene.made("archive", LEVELS, {}, {})
    later = as_earlier_releases_wrote_it(scene, dataset)
    before = [(image["sha256"], image["label"]) for image in later.images(dataset)]
    archive = scene.settings.datasets / "source"
    damaged = archive.rename(archive.with_name("away")).read_bytes()[:-30]
    archive.write_bytes(damaged)
    after = later.read(later.put(dataset, level=1))
    assert (after["state"], after["labels"]) == ("ready", {"cat": 6, "dog": 6})
    assert after["refused"]["error"]["type"] == "InvalidDataset"
    assert [(image["sha256"], image["label"]) for image in later.images(dataset)] == before
    shutil.copy(archive.with_name("away"), archive)
    assert later.read(later.put(dataset, level=2))["labels"] == {"cat": 6, "dog": 6}

    assert [(image["sha256"], image["label"]) for image in later.images(dataset)] == before
