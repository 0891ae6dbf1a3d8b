"""Many records, and large ones: what is read, what is kept in memory, what is answered."""

import json
import zipfile
from itertools import count

import numpy as np
import pytest

from shared.errors import InvalidRequest
from tests.support.inputs.tiny_model import picture
from tests.support.trainer.api_client import post
from tests.support.trainer.builders import START, make_dataset, make_read_dataset, new_record
from trainer_service.datasets import reading
from trainer_service.datasets.create import UPLOAD_FILE, new_dataset
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord, RejectedFile, save_images, save_rejected
from trainer_service.errors import DatasetNotFound, TrainingCancelled
from trainer_service.inline import InlineQueue
from trainer_service.phases.evaluate.metrics import evaluate
from trainer_service.phases.head.images import images_with_features
from trainer_service.phases.work import CancellationCheck, Work, Worker
from trainer_service.queue.steps import FINISH, Step
from trainer_service.requests.lists import ListQuery
from trainer_service.service.dataset_images import list_rejected
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records import record_store
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import State, Transition, abridged
from trainer_service.store.shards import ShardImage, ShardResult, Shards
from trainer_service.store.stores import Stores


@pytest.fixture
def reads(monkeypatch):
    """Return the ids of the records that were read from the disk, one for each time."""
    ids = []
    read = record_store.read_small

    def noted(file, most):
        ids.append(file.parent.name)
        return read(file, most)

    monkeypatch.setattr(record_store, "read_small", noted)
    return ids


@pytest.fixture
def records(tmp_path):
    return RecordStore(tmp_path / "datasets", DatasetRecord, DatasetNotFound)


def ended_training(stores, dataset, version=1, **fields):
    record = new_record()
    record.dataset.id = dataset
    record.state, record.version = State.SUCCEEDED, version
    record.transitions.append(Transition(state=State.SUCCEEDED, at=START, seconds=0))
    stores.trainings.create(record.model_copy(update=fields))
    return record.id


def test_only_what_has_changed_is_read_again(records, reads):
    first, second = make_dataset(records), make_dataset(records)
    assert len(records.list()) == 2
    reads.clear()
    records.list()
    assert reads == []
    records.update(first, lambda record: setattr(record, "ignored", 7))
    reads.clear()
    assert {record.id: record.ignored for record in records.list()} == {first: 7, second: 0}
    assert reads == [first]


def test_what_is_deleted_is_forgotten(records):
    for _ in range(20):
        bad = records.directory(make_dataset(records)) / "record.json"
        bad.write_text("{")
        records.list()
        records.delete(bad.parent.name)
        records.delete(make_dataset(records))
        records.list()
    assert (len(records._index._known), len(records._warned)) == (0, 0)


def test_what_is_kept_of_each_is_small(records):
    """However much there is in a record."""
    labels = {f"label {n}": n for n in range(10_000)}
    make_dataset(records, labels=labels, rejected=[{"name": "x", "verdict": "link"}] * 20)
    [brief] = records.briefs()
    assert len(brief.listed) < 1000
    [listed] = records.list()
    assert (listed.label_count, listed.labels) == (10_000, {})
    assert (listed.rejected_count, listed.rejected) == (20, [])


def test_pages_have_every_record_once_whatever_is_removed_and_made_meanwhile(records):
    ids = [make_dataset(records, number) for number in range(10)]
    seen, after = [], None
    for turn in count():
        page, after = records.page(3, after)
        seen += [record.id for record in page]
        if after is None:
            break
        records.delete(seen[-1])  # which the cursor tells of
        make_dataset(records, 100 + turn)
    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["", "x", "1-2", "-20260101-000000-aaaaaa", "9" * 40])
def test_a_cursor_that_is_none_is_refused(records, cursor):
    with pytest.raises(InvalidRequest, match="after: expected what the header Link"):
        records.page(3, cursor)


@pytest.mark.integration
def test_lists_tell_where_the_next_page_is(call):
    ids = [post(call).json()["id"] for _ in range(5)][::-1]
    seen, query = [], "?limit=2"
    while query:
        answer = call("GET", f"/v1/trainings{query}")
        seen.append([record["id"] for record in answer.json()])
        query = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    assert len(call("GET", "/v1/datasets?limit=4").json()) == 4
    assert call("GET", "/v1/datasets?limit=0").status_code == 422
    assert call("GET", "/v1/datasets?after=no").status_code == 422


@pytest.mark.integration
def test_a_submission_reads_no_record_of_others(call, settings, reads):
    for _ in range(3):
        post(call)
    reads.clear()
    made = post(call).json()
    assert set(reads) <= {made["id"], made["dataset"]["id"], *reads[:1]}
    assert len(reads) <= 3  # its own dataset twice: it may be read in another way meanwhile


@pytest.mark.integration
@pytest.mark.parametrize("labels", [2, 64, 65, 300])
def test_a_record_holds_nothing_for_each_label(call, settings, labels):
    stores = Stores.open(settings)
    truth = np.arange(labels).repeat(2)
    names = [f"label {n}" for n in range(labels)]
    metrics = {"test": evaluate(np.eye(labels, dtype=np.float32)[truth], truth, names)}
    training = ended_training(stores, make_dataset(stores.datasets), metrics=metrics)
    file = stores.trainings.directory(training) / "record.json"
    stores.trainings.keep_evaluation(training, abridged(metrics))
    of_before = call("GET", f"/v1/trainings/{training}").json()["metrics"]["test"]
    record = json.loads(file.read_text())
    for name in ("per_class", "confusion_matrix"):
        del record["metrics"]["test"][name]
    file.write_text(json.dumps(record))
    answer = call("GET", f"/v1/trainings/{training}").json()

    assert answer["report"] == f"/v1/trainings/{training}/report"
    assert answer["metrics"]["test"] == of_before
    assert of_before["macro_f1"] == 1
    assert ("confusion_matrix" in of_before) == ("per_class" in of_before) == (labels <= 64)
    [listed] = call("GET", "/v1/trainings").json()
    assert set(listed["metrics"]["test"]) == {
        name for name, value in metrics["test"].items() if isinstance(value, int | float)
    }


@pytest.mark.integration
@pytest.mark.parametrize("before", [False, True], ids=["now", "as they were written before"])
def test_rejected_files_come_in_pages(call, settings, before):
    stores = Stores.open(settings)
    rejected = [
        RejectedFile(name=f"{n:04}/{'x' * 970}.png", label="", verdict="link", detail="d" * 970)
        for n in range(250)
    ]
    dataset = make_dataset(stores.datasets)
    if before:
        file = stores.datasets.directory(dataset) / "record.json"
        old = json.loads(file.read_text()) | {"rejected": [r.model_dump() for r in rejected]}
        for name in ("rejected_count", "verdicts", "label_count"):
            del old[name]
        file.write_text(json.dumps(old | {"labels": {"cat": 4, "dog": 5}}))
    else:
        save_rejected(stores.datasets.directory(dataset), rejected)
        named = [RejectedImage(**image.model_dump()) for image in rejected]
        stores.datasets.update(dataset, lambda record: record.reject(named, {"link": 250}))

    answer = call("GET", f"/v1/datasets/{dataset}")
    record = answer.json()
    assert (record["rejected_count"], record["verdicts"]) == (250, {"link": 250})
    assert record["label_count"] == len(record["labels"]) == (2 if before else 0)
    assert [len(image["name"]) for image in record["rejected"]] == [199] * 20
    assert record["rejected"][3]["name"].startswith("0003/xx")
    assert record["rejected"][3]["name"].endswith("xx.png")
    assert len(answer.content) < 20_000
    names, after = [], 0
    while after is not None:
        page = call("GET", f"/v1/datasets/{dataset}/rejected?limit=100&after={after}").json()
        names += [image["name"] for image in page["rejected"]]
        after = page["after"]
    assert names == [image.name for image in rejected]


@pytest.mark.integration
def test_a_damaged_list_of_rejected_files_is_told_in_words(call, settings):
    stores = Stores.open(settings)
    dataset = make_dataset(stores.datasets)
    file = stores.datasets.directory(dataset) / "rejected.jsonl"
    for damage in (lambda: file.write_text("{\n"), file.unlink, file.mkdir):
        damage()
        answer = call("GET", f"/v1/datasets/{dataset}/rejected")
        if file.exists():
            assert answer.status_code == 500
            assert f"datasets/{dataset}/rejected.jsonl can't be read" in answer.json()["detail"]


@pytest.mark.integration
@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_list_of_rejected_files_that_ends_too_early_is_told(call, settings, after):
    stores = Stores.open(settings)
    rejected = [RejectedFile(name=f"{n}", label="", verdict="link", detail="") for n in range(3)]
    dataset = make_read_dataset(stores.datasets, {}, rejected)
    file = stores.datasets.directory(dataset) / "rejected.jsonl"
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])

    answer = call("GET", f"/v1/datasets/{dataset}/rejected?limit=2&after={after}")

    told = f"datasets/{dataset}/rejected.jsonl ends too early: 3 entries were written."
    assert (answer.status_code, told in answer.text) == ((500, True) if after < 3 else (200, False))


@pytest.mark.integration
def test_requests_to_cancel_or_stop_lie_beside_the_record(call, settings):
    training = post(call).json()["id"]
    stores = Stores.open(settings)
    file = stores.trainings.directory(training) / "record.json"
    with stores.trainings.lease(training):  # or it would end at once
        written = file.read_bytes()
        assert call("POST", f"/v1/trainings/{training}/cancel").json()["cancel_requested"] is True
        assert file.read_bytes() == written
        assert call("GET", f"/v1/trainings/{training}").json()["cancel_requested"] is True
        assert call("GET", "/v1/trainings").json()[0]["cancel_requested"] is True


def test_a_cancellation_check_reads_a_record_only_when_it_has_changed(trainings, reads):
    record = new_record()
    trainings.create(record)
    check_cancelled = CancellationCheck(trainings, record.id)
    for _ in range(5):
        check_cancelled.now()
    assert reads == [record.id]
    trainings.ask(record.id, lambda current: setattr(current, "stop_after", 7))
    reads.clear()
    check_cancelled.now()
    assert (check_cancelled.stop_after, reads) == (7, [])
    trainings.update(record.id, lambda current: current.enter(State.FAILED))
    with pytest.raises(TrainingCancelled):
        check_cancelled.now()


def test_a_cancellation_check_notices_requests_also_in_records_of_earlier_releases(trainings):
    for wish in (trainings.ask, trainings.update):
        record = new_record()
        trainings.create(record)
        (trainings.directory(record.id) / "asked.json").unlink()
        check_cancelled = CancellationCheck(trainings, record.id)
        check_cancelled.now()
        wish(record.id, lambda current: setattr(current, "cancel_requested", True))
        with pytest.raises(TrainingCancelled):
            check_cancelled.now()


@pytest.mark.parametrize("content", ["", "{", '{"stop_after": "x"}', "[" * 5000])
def test_a_damaged_request_to_cancel_can_be_repeated(trainings, content):
    record = new_record()
    trainings.create(record)
    (trainings.directory(record.id) / "asked.json").write_text(content)
    check_cancelled = CancellationCheck(trainings, record.id)
    check_cancelled.now()
    trainings.ask(record.id, lambda current: setattr(current, "cancel_requested", True))
    with pytest.raises(TrainingCancelled):
        check_cancelled.now()


@pytest.mark.integration
def test_copies_under_long_names_make_a_small_record(settings):
    datasets = Stores.open(settings).datasets
    dataset = new_dataset("copies.zip", path=False, submitted=True)
    directory = datasets.create(dataset)
    with zipfile.ZipFile(directory / UPLOAD_FILE, "w") as archive:
        for label, colour in (("cat", "red"), ("dog", "blue")):
            for number in range(300):
                name = f"{label}/{number:03}{'x' * 240}/{'y' * 250}/{'z' * 250}/{'w' * 200}.png"
                archive.writestr(name, picture(colour))
    record = reading.read(datasets, settings, dataset.id)

    assert (record.images, record.rejected_count) == (2, 598)
    assert record.verdicts == {"duplicate": 598}
    assert (directory / "record.json").stat().st_size < 20_000
    page = list_rejected(Dataset.open(datasets, settings, dataset.id), ListQuery(limit=1000))
    assert (len(page.rejected), page.after) == (598, None)
    assert len(page.rejected[0].name) > 940


@pytest.mark.integration
def test_images_that_a_training_rejects_itself_are_listed_first_and_once(settings):
    stores = Stores.open(settings)
    images = [image(number) for number in range(4)]
    named = [RejectedImage(name=f"{n}.txt", verdict="link") for n in range(50)]
    dataset = make_dataset(stores.datasets)
    save_images(stores.datasets.directory(dataset), images)
    stores.datasets.update(dataset, lambda record: record.reject(named, {"link": 50}))
    record = new_record()
    record.dataset.id = dataset
    shards = Shards(stores.trainings.create(record))
    shards.plan([ShardImage(sha256=each.sha256, path="x") for each in images], "f32")
    shards.finish(0, ShardResult(computed=3, seconds=1, rejected={images[2].sha256: "cut off"}))
    worker = Worker(settings, stores, ProgressBoard(stores.events), InlineQueue())
    for _ in range(2):
        with stores.trainings.lease(record.id) as held:
            good = images_with_features(Work(worker, Step(FINISH, (record.id,)), record, held))

    found = stores.trainings.get(record.id).dataset
    assert len(good) == found.images == 3
    assert [bad.name for bad in found.rejected] == ["2.png", *(f"{n}.txt" for n in range(19))]
    assert (found.rejected_count, found.verdicts) == (51, {"link": 50, "unreadable": 1})


def image(number):
    return ImageRecord(
        name=f"{number}.png",
        label="cat",
        split=None,
        sha256=f"{number:064x}",
        width=1,
        height=1,
        format="PNG",
        bytes=1,
        verdict="used",
        detail="",
        file=f"images/{number}",
    )
