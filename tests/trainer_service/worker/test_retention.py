"""What is removed automatically and on request; and above all what is not."""

import errno
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from shared.identifiers import new_id
from tests.support.clock import Clock
from tests.support.inputs.odd_files import make_deep
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.api_client import caller, post
from tests.support.trainer.builders import (
    new_comparison_record,
    new_dataset_record,
    new_record,
)
from tests.support.trainer.lease_holder import Holder
from trainer_service.backbones.features import FeatureStore
from trainer_service.store.files.lease import LeaseWatch, lease
from trainer_service.store.files.work_in_progress import working_directory
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.comparison_record import ComparisonState
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.records.training_record import (
    State,
)
from trainer_service.store.stores import Stores
from trainer_service.worker import retention
from trainer_service.worker.retention import DAY, Retention
from trainer_service.worker.retention_step import RetentionStep

pytestmark = pytest.mark.integration


@pytest.fixture
def stores(settings):
    return Stores.open(settings)


@pytest.fixture
def retain(stores, settings):
    """Run the retention with some settings, so many days from now."""

    def retain(days=0.0, **kept):
        now = time.time() + days * DAY
        return Retention(stores, settings.model_copy(update=kept), lambda: now)()

    return retain


def a_training(stores, state=State.SUCCEEDED, dataset="20260101-000000-aaaaaa", days=0.0):
    at = datetime.now(UTC) - timedelta(days=days)
    record = new_record(state, at=at, dataset=dataset)
    stores.trainings.create(record)
    return record.id


def a_dataset(stores, state=DatasetState.READY, days=0.0, *, submitted=False):
    at = datetime.now(UTC) - timedelta(days=days)
    record = new_dataset_record(state, at=at, submitted=submitted)
    stores.datasets.create(record)
    return record.id


def flip_a_byte(settings, version):
    file = settings.store / f"models/colours/{version}/openvino/model.bin"
    file.write_bytes(b"\0" + file.read_bytes()[1:])


def test_by_default_nothing_finished_goes(stores, settings, retain):
    for _ in range(3):
        publish_tiny_model(settings.store)
    a_training(stores, days=1000, dataset=a_dataset(stores, days=1000))
    a_dataset(stores, days=1000)

    assert retain() == []


def test_the_newest_versions_are_kept_and_the_pinned_one(stores, settings, retain):
    for _ in range(6):
        publish_tiny_model(settings.store)
    stores.models.pin("colours", 2)

    assert retain(keep_versions=2) == [f"models/colours/{version}" for version in (4, 3, 1)]
    assert stores.models.versions("colours") == [2, 5, 6]
    assert retain(keep_versions=2) == []


def test_a_damaged_version_does_not_count_as_one_that_is_kept(stores, settings, retain):
    """With 3 in quarantine the predictor serves 2."""
    for _ in range(3):
        publish_tiny_model(settings.store)
    flip_a_byte(settings, 3)

    retain(keep_versions=1)
    assert stores.models.versions("colours") == [2, 3]


def test_a_version_of_folders_in_folders_goes_like_others(stores, settings, retain):
    for _ in range(4):
        publish_tiny_model(settings.store)
    for version in (1, 4):
        make_deep(settings.store / f"models/colours/{version}/openvino")

    assert retain(keep_versions=2) == ["models/colours/1"]
    stores.models.remove("colours", 4)
    assert sorted(path.name for path in (settings.store / "models/colours").glob("*")) == [
        ".highest",
        ".lock",
        "2",
        "3",
    ]


def test_numbers_of_removed_versions_are_not_given_out_again(call, settings):
    for _ in range(3):
        publish_tiny_model(settings.store)
    models = WritableModelStore(settings.store)
    path = "/v1/models/colours/versions"
    assert call("DELETE", f"{path}/3").status_code == 409
    models.pin("colours", 1)
    assert call("DELETE", f"{path}/1").status_code == 409
    assert call("DELETE", f"{path}/3").status_code == 204
    assert call("DELETE", f"{path}/3").status_code == 404

    assert models.versions("colours") == [1, 2]
    assert publish_tiny_model(settings.store) == 4
    assert list(settings.store.glob("models/colours/.removed-*")) == []


def test_trainings_go_so_many_days_after_their_end(stores, retain):
    old, young = a_training(stores, days=8), a_training(stores, days=6)
    running = a_training(stores, State.HEAD, days=100)

    assert retain(keep_trainings_days=7) == [f"trainings/{old}"]
    assert {record.id for record in stores.trainings.list()} == {young, running}


def test_datasets_go_when_no_training_that_is_kept_was_on_them(stores, retain):
    used, unused, young = a_dataset(stores, days=8), a_dataset(stores, days=8), a_dataset(stores)
    waiting = a_dataset(stores, DatasetState.QUEUED, days=8, submitted=True)
    a_training(stores, dataset=used)

    assert retain(keep_datasets_days=7) == [f"datasets/{unused}"]
    assert {record.id for record in stores.datasets.list()} == {used, young, waiting}


@pytest.mark.parametrize("state", [DatasetState.QUEUED, DatasetState.READING])
def test_a_dataset_that_nobody_will_read_any_more_goes_like_others(stores, retain, state):
    """Its training was cancelled before it had read it."""
    cancelled, queued = a_dataset(stores, state, days=8), a_dataset(stores, state, days=8)
    training = a_training(stores, State.CANCELLED, dataset=cancelled, days=8)
    a_training(stores, State.QUEUED, dataset=queued, days=8)

    assert retain(keep_datasets_days=7) == []
    removed = [f"trainings/{training}", f"datasets/{cancelled}"]
    assert retain(keep_datasets_days=7, keep_trainings_days=7) == removed


def test_a_dataset_that_a_training_comes_to_use_while_others_are_removed_stays(
    stores, retain, monkeypatch
):
    first, second = a_dataset(stores, days=8), a_dataset(stores, days=8)
    delete = stores.datasets.delete

    def delete_and_submit(dataset):
        delete(dataset)
        a_training(stores, dataset=first if dataset == second else second)

    monkeypatch.setattr(stores.datasets, "delete", delete_and_submit)
    assert len(retain(keep_datasets_days=7)) == 1
    assert len(stores.datasets.list()) == 1


def features(settings, *images):
    store = FeatureStore(settings.store, "space")
    for image in images:
        store.write([image], np.ones((1, 256), np.float32), 1.0)
    return store


def test_features_go_that_were_not_used_for_long(settings, retain):
    store = features(settings, "a", "b")
    for index in settings.store.glob("features/*/*.json"):
        os.utime(index, (0, 0))
    store.use([store.locate()["b"].shard])

    assert len(retain(keep_features_days=30)) == 1
    assert set(store.locate()) == {"b"}
    assert store.read(["b"]).shape == (1, 256)
    assert retain(keep_features_days=0) == []


def test_of_too_many_features_those_go_that_were_used_longest_ago(settings, retain):
    store = features(settings, "a", "b", "c")
    for age, image in enumerate("cab"):
        shard = store.locate()[image].shard
        os.utime(settings.store / f"features/space/{shard}.json", (1e9 - age, 1e9 - age))

    retain(keep_features_bytes=1500, keep_features_days=0)
    assert set(store.locate()) == {"a", "c"}
    assert len(list(settings.store.glob("features/space/*.npy"))) == 2


def test_activations_have_limits_of_their_own(settings, retain):
    """They take a hundred times the room of features, and are of use for a while only."""
    features(settings, "a")
    store = FeatureStore(settings.store, "space", "activations")
    for image in "bcd":
        store.write([image], np.ones((1, 1000), np.float32), 1.0)
    for age, image in enumerate("dbc"):
        shard = store.locate()[image].shard
        used = time.time() - 3600 * age
        os.utime(settings.store / f"activations/space/{shard}.json", (used, used))

    retain(keep_activations_bytes=4500)
    assert set(store.locate()) == {"d", "b"}
    retain(days=2)
    assert store.locate() == {}
    assert set(FeatureStore(settings.store, "space").locate()) == {"a"}


def test_features_that_come_to_be_used_while_others_are_removed_stay(stores, settings):
    store = features(settings, "a", "b")
    for index in settings.store.glob("features/*/*.json"):
        os.utime(index, (0, 0))
    looks = []

    def clock():
        looks.append(1)
        if len(looks) == 2:
            store.use(row.shard for row in store.locate().values())
        return time.time()

    kept = settings.model_copy(update={"keep_features_days": 30})
    assert len(list(Retention(stores, kept, clock)._features())) == 1
    assert len(store.locate()) == 1


def test_while_a_training_is_under_way_features_stay(stores, settings, retain):
    store = features(settings, "a")
    training = a_training(stores, State.BOTTLENECK)
    assert retain(days=1000, keep_features_bytes=1) == []
    stores.trainings.update(training, lambda record: record.enter(State.CANCELLED))

    assert len(retain(days=1000)) == 1
    assert store.locate() == {}


HOURS = 3600.0


def activations(settings, **hours):
    """Store the activations of images that were last used so many hours ago."""
    store = FeatureStore(settings.store, "space", "activations")
    for image, ago in hours.items():
        store.write([image], np.ones((1, 1000), np.float32), 1.0)
        used = time.time() - ago * HOURS
        shard = store.locate()[image].shard
        os.utime(settings.store / f"activations/space/{shard}.json", (used, used))
    return store


@pytest.mark.parametrize("state", [State.QUEUED, State.TUNING])
def test_while_trainings_follow_each_other_activations_go_that_none_of_them_can_have_used(
    stores, settings, retain, state
):
    """Else they would fill the disk."""
    store = activations(settings, new=1, some=4, old=30)
    a_training(stores, state, days=5 / 24)
    a_training(stores, State.TUNING)
    retain()
    assert set(store.locate()) == {"new", "some"}

    retain(keep_activations_bytes=1)
    assert set(store.locate()) == {"new", "some"}, "the first training may have used them"


def test_activations_stay_while_a_training_is_under_way_that_is_of_a_later_time(
    stores, settings, retain
):
    """The clock was set back: when its activations were used is not known."""
    store = activations(settings, new=1, old=30)
    training = a_training(stores, State.TUNING, days=-2)
    retain(keep_activations_bytes=1)
    assert set(store.locate()) == {"new", "old"}

    stores.trainings.update(training, lambda record: record.enter(State.CANCELLED))
    retain(keep_activations_bytes=1)
    assert store.locate() == {}


def test_whatever_is_in_the_place_of_activations_goes_with_them(settings, retain):
    store = activations(settings, odd=30, gone=30, old=30)
    shards = {image: row.shard for image, row in store.locate().items()}
    space = settings.store / "activations/space"
    (space / f"{shards['gone']}.npy").unlink()
    for file in (f"{shards['odd']}.npy", f"{shards['odd']}.json"):
        (space / file).unlink()
        (space / file / "folder").mkdir(parents=True)
    os.utime(space / f"{shards['odd']}.json", (0, 0))
    (space / "loop.json").symlink_to("loop.json")
    os.utime(space / "loop.json", (0, 0), follow_symlinks=False)

    retain()
    assert [path.name for path in space.iterdir()] == []


def test_activations_that_others_remove_meanwhile_keep_no_others(settings, retain, monkeypatch):
    store = activations(settings, first=30, second=30)
    first = store.locate()["first"].shard
    found = retention.Retention._find

    def and_remove_one(self, pattern):
        files = found(self, pattern)
        if pattern == "activations/*/*.json":
            (settings.store / f"activations/space/{first}.json").unlink()
        return files

    monkeypatch.setattr(retention.Retention, "_find", and_remove_one)
    retain()
    assert store.locate() == {}


def test_what_killed_processes_left_goes_and_what_living_ones_hold_stays(stores, settings, retain):
    store = settings.store
    ended, running = a_training(stores), a_training(stores, State.BOTTLENECK)
    for training in (ended, running):
        (stores.trainings.directory(training) / "shards").mkdir()
    publish_tiny_model(store)
    working = (
        *("uploads/left", "models/colours/.staging-left", "backbones/.staging-left"),
        *("models/.removed-left", "models/colours/.removed-left"),
        f"datasets/{a_dataset(stores, DatasetState.QUEUED)}/.staging-left",
    )
    left = [store / name for name in working]
    files = [store / "features/space/.x.npy.0000.tmp", store / f"trainings/{ended}/.record.0.tmp"]
    for path in left:
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"half")
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")

    with working_directory(store / "uploads/held") as held:
        assert set(retain()) == {*working, f"trainings/{ended}/shards"}
        for path in (*files, held):  # so young that they may still be written
            os.utime(path, (0, 0))
        removed = retain()
        assert held.is_dir()

    assert sorted(removed) == sorted(str(path.relative_to(store)) for path in files)
    assert (stores.trainings.directory(running) / "shards").is_dir()
    assert stores.models.versions("colours") == [1]


def test_an_archive_goes_whose_reader_was_killed_after_it_had_read_it(stores, retain):
    states = (DatasetState.READY, DatasetState.QUEUED, DatasetState.READING, DatasetState.FAILED)
    read, *others = [a_dataset(stores, state) for state in states]
    uploads = [stores.datasets.directory(dataset) / "upload" for dataset in (read, *others)]
    for upload in uploads:
        upload.write_bytes(b"archive")

    assert retain() == [f"datasets/{read}/upload"]
    assert [upload.exists() for upload in uploads] == [False, True, True, True]


def test_features_without_an_index_go_once_nobody_can_be_writing_them(settings, retain):
    store = features(settings, "a", "b")
    half = settings.store / f"features/space/{store.locate()['b'].shard}.npy"
    half.with_suffix(".json").unlink()
    assert retain() == []
    os.utime(half, (0, 0))

    assert retain() == [f"features/space/{half.name}"]
    assert store.read(["a"]).shape == (1, 256)


def test_what_can_not_be_removed_holds_up_nothing_else(stores, settings, retain, monkeypatch):
    """Neither of its own kind nor of others."""
    for _ in range(3):
        publish_tiny_model(settings.store)
    training = a_training(stores, days=8)
    remove = stores.models.remove

    def fail_once(name, version):
        if version == 2:  # which is met first
            raise OSError(errno.EIO, "Input/output error")
        remove(name, version)

    monkeypatch.setattr(stores.models, "remove", fail_once)
    with capture_logs() as logs:
        removed = retain(keep_versions=1, keep_trainings_days=7)

    assert removed == ["models/colours/1", f"trainings/{training}"]
    assert stores.models.versions("colours") == [2, 3]
    assert [line["path"] for line in logs if line["event"] == "removed"] == removed
    [error] = [line for line in logs if line["log_level"] == "error"]
    assert error["path"].endswith("models/colours/2")


def test_work_and_files_that_can_not_be_looked_at_keep_no_others(settings, retain, monkeypatch):
    store, unlink = settings.store, Path.unlink
    for number in range(4):
        (store / f"uploads/{number}").mkdir(parents=True)
        (store / f"features/.{number}.tmp").parent.mkdir(exist_ok=True)
        (store / f"features/.{number}.tmp").touch()
        os.utime(store / f"features/.{number}.tmp", (0, 0))
    remove = retention.remove_if_abandoned

    def fail(path, *arguments):
        if path.name == "1":
            raise OSError(errno.EIO, "Input/output error")
        return remove(path, *arguments)

    monkeypatch.setattr(retention, "remove_if_abandoned", fail)

    def refuse(file, **options):
        if file.name == ".2.tmp":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(file, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    left = {"features/.2.tmp", "uploads/1"}
    made = {f"{kind}{number}" for number in range(4) for kind in ("uploads/", "features/.")}
    assert set(retain()) == {f"{n}.tmp" if n.startswith("f") else n for n in made} - left


def test_a_kind_that_can_not_be_listed_holds_up_no_other_kind(stores, retain, monkeypatch):
    training = a_training(stores, days=8)

    def fail(*_):
        raise RuntimeError("who knows")

    monkeypatch.setattr(stores.models, "names", fail)
    assert retain(keep_versions=1, keep_trainings_days=7) == [f"trainings/{training}"]


def test_files_that_others_remove_at_the_same_time_are_no_error(settings, retain):
    ended = threading.Event()

    def work():
        while not ended.is_set():
            with working_directory(settings.store / "uploads/1"):
                pass

    working = threading.Thread(target=work)
    working.start()
    try:
        with capture_logs() as logs:
            for _ in range(200):
                retain()
    finally:
        ended.set()
        working.join()
    assert [line for line in logs if line["log_level"] == "error"] == []


def test_directories_without_a_record_are_removed(stores, retain):
    left = [stores.datasets.directory(new_id()), stores.trainings.directory(new_id())]
    for directory in left:
        directory.mkdir(parents=True)
        (directory / "upload").write_bytes(b"half of it")
    a_dataset(stores)
    assert retain() == []
    for directory in left:
        os.utime(directory, (0, 0))

    assert retain() == [f"{directory.parent.name}/{directory.name}" for directory in left]
    assert len(stores.datasets.list()) == 1


@pytest.mark.parametrize("content", ["", '{"id": "2026', '{"state": "new"}', "[]", "\xff"])
def test_a_record_that_can_not_be_read_keeps_only_what_it_may_need(
    stores, settings, retain, call, content
):
    broken = [
        stores.trainings.directory(a_training(stores, days=8)) / "record.json",
        stores.datasets.directory(a_dataset(stores, days=8)) / "record.json",
    ]
    for file in broken:
        file.write_text(content, "latin-1")
        (file.parent / "shards").mkdir()
        (file.parent / "upload").write_bytes(b"")
    training, dataset = a_training(stores, days=8), a_dataset(stores, days=8)

    limits = {"keep_trainings_days": 7, "keep_datasets_days": 7, "keep_features_bytes": 1}
    features(settings, "a")
    with capture_logs() as logs:
        removed = retain(**limits)
    assert removed == [f"trainings/{training}"]  # it is not known what else may be in use
    answer = call("DELETE", f"/v1/datasets/{dataset}")
    assert answer.status_code == 409
    assert f"{broken[0].parent.name}/record.json can't be read" in answer.json()["detail"]
    assert {line["log_level"] for line in logs} == {"info", "warning"}  # no traceback
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert sorted(line["file"] for line in warnings if "file" in line) == sorted(map(str, broken))
    kept = [line for line in warnings if "kind" in line]
    assert [line["kind"] for line in kept] == ["features", "activations", "datasets"]
    assert all(f"{broken[0].parent.name}/record.json" in line["reason"] for line in kept)
    assert call("GET", "/v1/trainings").json() == []
    assert [record["id"] for record in call("GET", "/v1/datasets").json()] == [dataset]
    answer = call("GET", f"/v1/trainings/{broken[0].parent.name}")
    assert answer.status_code == 500
    assert f"{broken[0].parent.name}/record.json can't be read" in answer.json()["detail"]
    broken[0].unlink()
    assert {path.partition("/")[0] for path in retain(**limits)} == {"datasets", "features"}


def test_a_record_that_can_not_be_opened_holds_up_no_other(stores, retain):
    for number, records in enumerate((stores.trainings, stores.datasets) * 2):
        made = a_training(stores) if records is stores.trainings else a_dataset(stores)
        file = records.directory(made) / "record.json"
        file.unlink()
        (file.mkdir if number < 2 else partial(os.mkfifo, file))()
        os.utime(file.parent, (0, 0))
    left = stores.datasets.directory(new_id())
    left.mkdir()
    os.utime(left, (0, 0))
    training = a_training(stores, days=8)

    removed = retain(keep_trainings_days=7, keep_datasets_days=7)
    assert removed == [f"datasets/{left.name}", f"trainings/{training}"]


def test_another_worker_takes_over_from_a_host_that_vanished_during_the_retention(
    settings, monkeypatch
):
    left = settings.store / "uploads/left"
    left.mkdir(parents=True)
    monkeypatch.setenv("HEADSTART_STORE", str(settings.store))
    monkeypatch.setenv("HEADSTART_REDIS_URL", settings.redis_url)
    clock = Clock()
    step = RetentionStep(None)
    step._watch = LeaseWatch(20, clock)
    holder = Holder(settings.store / ".retention.lease")
    try:
        holder.send(signal.SIGSTOP)
        step._run()
        assert left.exists()
        clock.now = 20
        step._run()
        assert not left.exists()
    finally:
        holder.process.kill()
        holder.process.join(60)


def test_keys_are_forgotten_after_a_week(call, retain, settings):
    call(
        "POST",
        "/v1/datasets",
        json={"path": "pets"},
        headers={"Idempotency-Key": "1"},
    )
    assert retain(days=6) == []
    [key] = retain(days=8)
    assert key.startswith("idempotency/")


def test_a_key_that_a_vanished_host_holds_can_be_used_again(stores, settings):
    clock = Clock()
    retention = Retention(stores, settings)
    retention._watch = LeaseWatch(20, clock)
    stores.keys.root.mkdir(parents=True)
    file = stores.keys.root / "1.lease"
    holder = Holder(file)
    try:
        holder.send(signal.SIGSTOP)
        for clock.now, free in ((0, False), (20, True)):
            assert retention() == []
            with lease(file) as mine:
                assert (mine is not None) == free
    finally:
        holder.process.kill()
        holder.process.join(60)


def test_a_training_is_removed_once_it_has_ended(call, stores):
    location = post(call).headers["location"]
    assert call("DELETE", location).status_code == 409
    call("POST", f"{location}/cancel")

    assert call("DELETE", location).status_code == 204
    assert call("GET", location).status_code == 404
    assert call("DELETE", location).status_code == 404


def test_a_dataset_is_removed_once_nothing_needs_it(call, stores):
    training = post(call)
    dataset = training.json()["dataset"]["id"]
    path = f"/v1/datasets/{dataset}"
    assert training.json()["id"] in call("DELETE", path).json()["detail"]
    call("POST", f"{training.headers['location']}/cancel")
    with stores.datasets.lease(dataset):
        assert "being read" in call("DELETE", path).json()["detail"]

    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404


@pytest.mark.parametrize("by", ["request", "retention"])
def test_no_training_comes_to_use_a_dataset_while_it_is_removed(
    call, settings, stores, retain, monkeypatch, by
):
    dataset, delete = a_dataset(stores, days=8), RecordStore.delete
    answers = []

    def submit():
        answers.append(post(caller(settings), dataset=dataset))

    submitting = threading.Thread(target=submit)

    def delete_later(self, record_id):
        if record_id == dataset:
            submitting.start()
            submitting.join(0.5)  # time enough, if nothing keeps it
        delete(self, record_id)

    monkeypatch.setattr(RecordStore, "delete", delete_later)
    if by == "request":
        assert call("DELETE", f"/v1/datasets/{dataset}").status_code == 204
    else:
        assert retain(keep_datasets_days=7) == [f"datasets/{dataset}"]
    submitting.join()

    assert answers[0].status_code == 404
    assert dataset in answers[0].json()["detail"]
    assert stores.trainings.list() == []
    assert list(stores.datasets.root.iterdir()) == []


def test_what_a_killed_deletion_left_is_removed(stores, settings, retain):
    dataset = a_dataset(stores)
    directory = stores.datasets.directory(dataset)
    directory.rename(stores.datasets.root / ".removed-left")

    assert stores.datasets.list() == []
    assert retain() == ["datasets/.removed-left"]
    assert list(stores.datasets.root.iterdir()) == []


def test_what_is_being_written_stays_although_the_clock_of_the_files_is_slow(
    stores, settings, monkeypatch
):
    """A file server has a clock of its own; or this host's has just jumped ahead."""
    space = settings.store / "features/space"
    space.mkdir(parents=True)
    written = [space / ".1.npy.abcd.tmp", space / "1.npy", stores.trainings.directory(new_id())]
    for path in written[:2]:
        path.touch()
    written[2].mkdir(parents=True)
    (space / "2.npy").touch()
    (space / "2.json").touch()
    slow_by, real = 2 * DAY, time.time
    monkeypatch.setattr(time, "time", lambda: real() + slow_by)
    kept = settings.model_copy(update={"keep_features_days": 1})

    retain = Retention(stores, kept, time.time)
    assert retain() == []
    for path in (*written, space / "2.json"):
        os.utime(path, (real() - 1.1 * DAY, real() - 1.1 * DAY))
    assert sorted(settings.store / name for name in retain()) == sorted([*written, space / "2.npy"])


def a_comparison(stores, state=ComparisonState.SUCCEEDED, days=0.0):
    """Make a comparison with a training that it has published and one that it has not."""
    at = datetime.now(UTC) - timedelta(days=days)
    record = new_comparison_record(state, at=at, dataset=a_dataset(stores, days=days))
    stores.comparisons.create(record)
    members = []
    for version in (None, 1):
        training = new_record(State.SUCCEEDED, at=at, dataset=record.dataset.id)
        training.comparison, training.version, training.withheld = record.id, version, 1
        stores.trainings.create(training)
        members.append(training.id)

    def note(record):
        record.candidates[0].trial, record.candidates[0].training = members

    stores.comparisons.update(record.id, note)
    return record, members


def test_an_old_comparison_goes_with_its_trainings_but_those_that_were_published(stores, retain):
    record, (unpublished, published) = a_comparison(stores, days=2.0)

    assert retain(keep_trainings_days=3.0) == []
    removed = retain(keep_trainings_days=1.0)

    assert removed[0] == f"comparisons/{record.id}"
    assert not stores.trainings.directory(unpublished).exists()
    assert removed[1:] == [f"trainings/{published}"]  # by now an old one as any other


def test_the_trainings_of_a_comparison_stay_as_long_as_it_does(stores, retain):
    _, members = a_comparison(stores, ComparisonState.TRAINING, days=9.0)

    assert retain(keep_trainings_days=1.0, keep_datasets_days=1.0) == []
    assert {one.id for one in stores.trainings.list()} == set(members)


def test_features_and_datasets_stay_between_the_rounds_of_a_comparison(stores, settings, retain):
    stores.comparisons.create(
        new_comparison_record(ComparisonState.MEASURING, dataset=a_dataset(stores, days=9.0))
    )
    features = FeatureStore(settings.store, "space", width=2)
    features.write(["a" * 64], np.ones((1, 2), np.float32), 1.0)

    assert retain(days=9.0, keep_features_days=1.0, keep_datasets_days=1.0) == []


def test_what_a_killed_process_was_publishing_for_a_comparison_goes(stores, settings, retain):
    record, _ = a_comparison(stores)
    left = stores.comparisons.directory(record.id) / "models/pets/.staging-abc"
    left.mkdir(parents=True)

    assert left.relative_to(settings.store).as_posix() in retain()
