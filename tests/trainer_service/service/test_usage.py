"""What lies in a store is measured to the byte, in bounded time."""

import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.builders import new_dataset_record, new_record, trainer_settings
from trainer_service.service.usage import FRESH_SECONDS, KINDS, MOST_SECONDS, UsageMeter
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

DAY = 86_400

pytestmark = pytest.mark.process


@pytest.fixture
def store(tmp_path, redis_url):
    """A store with files of all kinds, and the settings that `keep` gives it."""

    def make(**keep):
        settings = trainer_settings(tmp_path, redis_url, **keep)
        settings.store.mkdir()
        return settings, Stores.open(settings)

    return make


def write(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def by_kind(usage):
    return {one.kind: one.bytes for one in usage.kinds}


def removals(usage):
    return {one.kind: one for one in usage.removals}


def test_every_file_is_counted_once_under_what_it_is(store):
    settings, stores = store()
    root = settings.store
    write(root / "datasets/a/images/1/x.png", 100)
    write(root / "datasets/a/images/2/y.png", 50)
    write(root / "datasets/a/thumbnails", 7)
    write(root / "datasets/a/upload", 1000)
    write(root / "datasets/a/images.jsonl", 3)
    write(root / "uploads/1/part", 2000)
    write(root / "features/b/1.npy", 10)
    write(root / "activations/c/1.npy", 20)
    write(root / "backbones/d/model.xml", 40)
    write(root / "trainings/e/record.json", 5)
    write(root / "comparisons/f/record.json", 6)
    write(root / "idempotency/key", 1)
    publish_tiny_model(root, "pets")
    publish_tiny_model(root, "pets")
    (root / "features/b/link").symlink_to(root / "uploads/1/part")

    model = root / "models/pets/1/manifest.json"
    withheld = root / "comparisons/f/models/pets/1/manifest.json"
    withheld.parent.mkdir(parents=True)
    withheld.hardlink_to(model)

    usage = UsageMeter()(settings, stores)

    withheld.unlink()
    found = by_kind(usage)
    assert list(found) == list(dict.fromkeys(KINDS))
    assert (found["images"], found["thumbnails"]) == (150, 7)
    assert found["uploads"] == 3000
    assert found["lists of datasets"] == 3
    assert found["features"] == 10 + (root / "features/b/link").lstat().st_size
    assert [found[kind] for kind in ("activations", "backbones", "trainings", "comparisons")] == [
        20, 40, 5, 6,
    ]  # fmt: skip
    [pets] = usage.models
    files = [[*(root / f"models/pets/{version}").rglob("*")] for version in (2, 1)]
    sizes = [sum(one.stat().st_size for one in of if one.is_file()) for of in files]
    assert [(one.version, one.bytes) for one in pets.versions] == [(2, sizes[0]), (1, sizes[1])]
    assert pets.bytes == sum(sizes)
    every = [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]
    assert usage.bytes == sum(path.lstat().st_size for path in every)
    assert 0 < usage.free_bytes < usage.disk_bytes
    assert usage.complete


def test_it_tells_what_is_removed_next_and_when(store):
    settings, stores = store(
        keep_versions=1, keep_trainings_days=10, keep_datasets_days=5, keep_features_days=3,
        keep_activations_days=30, keep_activations_bytes=100,
    )  # fmt: skip
    root = settings.store
    for _ in range(3):
        publish_tiny_model(root, "pets")
    ended = datetime.now(UTC) - timedelta(days=4)
    stores.trainings.create(new_record(State.SUCCEEDED, at=ended))
    stores.datasets.create(new_dataset_record(at=datetime.now(UTC) - timedelta(days=9)))
    for number, days in enumerate((1, 1.5, 2.9)):
        write(root / f"features/b/{number}.npy", 10)
        write(root / f"features/b/{number}.json", 2)
        then = time.time() - days * DAY
        os.utime(root / f"features/b/{number}.json", (then, then))
        write(root / f"activations/c/{number}.npy", 60)
        write(root / f"activations/c/{number}.json", 2)

    usage = UsageMeter()(settings, stores)
    next_ones = removals(usage)

    assert set(next_ones) == {"features", "activations", "versions", "trainings", "datasets"}
    assert (next_ones["versions"].count, next_ones["versions"].held) == (2, None)
    sizes = [one.bytes for one in usage.models[0].versions]
    assert next_ones["versions"].bytes == sizes[1] + sizes[2]
    in_days = {
        kind: (one.at - datetime.now(UTC)).total_seconds() / DAY for kind, one in next_ones.items()
    }
    assert in_days["trainings"] == pytest.approx(6, abs=0.01)
    assert in_days["features"] == pytest.approx(0.1, abs=0.01)
    assert [in_days["versions"], in_days["datasets"]] == pytest.approx([0, 0], abs=0.01)
    assert (next_ones["features"].count, next_ones["features"].bytes) == (1, 10)
    assert (next_ones["activations"].count, next_ones["activations"].bytes) == (2, 120)

    stores.trainings.create(new_record())
    held = removals(UsageMeter()(settings, stores))
    assert "training" in held["features"].held
    assert held["versions"].held is None


def test_nothing_is_due_if_all_is_kept(store):
    settings, stores = store(
        keep_features_days=0, keep_activations_days=0, keep_activations_bytes=0
    )
    write(settings.store / "features/b/1.json", 2)
    stores.trainings.create(new_record(State.FAILED))

    assert UsageMeter()(settings, stores).removals == []


def test_an_answer_counts_for_a_while(store):
    settings, stores = store()
    now = [0.0]
    meter = UsageMeter(lambda: now[0])
    first = meter(settings, stores)
    write(settings.store / "uploads/1/part", 5)

    assert meter(settings, stores) is first
    now[0] += FRESH_SECONDS
    assert by_kind(meter(settings, stores))["uploads"] == 5


def test_a_large_store_is_measured_as_far_as_time_allows(store):
    settings, stores = store()
    for number in range(30):
        write(settings.store / f"datasets/{number}/images/x.png", 1)
    now = [0.0]

    def slow_clock():
        now[0] += MOST_SECONDS / 20
        return now[0]

    usage = UsageMeter(slow_clock)(settings, stores)

    assert not usage.complete
    assert by_kind(usage)["images"] < 30
