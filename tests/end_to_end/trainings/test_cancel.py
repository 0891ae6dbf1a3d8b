"""Trainings are cancelled in every state, or stopped, within seconds; the worker takes the next."""

import io
import time

import pytest
from PIL import Image

from tests.end_to_end.stack import digits, running_stack, zipped
from trainer_service.datasets.create import create_from_upload
from trainer_service.store.stores import Stores

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
#: What is promised: seconds from the request to the end.
SECONDS = 10
PATIENCE_SECONDS = 90
ENDLESS = {"epochs": 10_000, "early_stopping": "off"}


@pytest.fixture(scope="module")
def stack(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory, workers=0, redis_url=redis_url, lease_seconds=6) as running:
        yield running


@pytest.fixture(scope="module")
def archive(directory):
    return zipped(digits(directory, "012", 40))


@pytest.fixture(scope="module")
def first(stack, workers, archive):
    """A training that nothing happens to; its pictures and features serve the others."""
    workers.one()
    return stack.train(archive, model="first", architecture=ARCHITECTURE)


@pytest.fixture
def submit(stack, first):
    def submit(archive=None, **fields):
        if archive is None:
            fields = {"dataset": first["dataset"]["id"]} | fields
        return stack.submit(archive, **{"model": "m", "architecture": ARCHITECTURE} | fields)

    return submit


@pytest.fixture
def cancel(stack, first, archive):
    """Cancel a training; require its end, no remains, and a worker that is free again."""

    def cancel(record, *, trains=False):
        url = f"/v1/trainings/{record['id']}"
        started = time.monotonic()
        answer = stack.trainer.post(f"{url}/cancel")
        assert answer.status_code == 202, answer.text
        ended = stack.ended(record, seconds=SECONDS)
        assert ended["state"] == "cancelled"
        assert ended["version"] is None
        assert stack.trainer.post(f"{url}/cancel").status_code == 409
        assert stack.trainer.post(f"{url}/stop").status_code == 409

        if trains:
            dataset = first["dataset"]["id"]
            next_ = stack.train(model="next", architecture=ARCHITECTURE, dataset=dataset)
            assert next_["cache"]["computed"] == 0
        answer = stack.trainer.post("/v1/datasets", files={"archive": ("a.zip", archive)})
        assert stack.read(answer.headers["location"])["state"] == "ready"
        while remains(stack):
            assert time.monotonic() - started < SECONDS + PATIENCE_SECONDS, remains(stack)
            time.sleep(0.01)
        return ended

    return cancel


def remains(stack):
    """Return what of a training only lies in the store while it runs."""
    patterns = ("trainings/*/shards", "models/*/.staging-*", "datasets/*/.staging-*")
    return [path for pattern in patterns for path in stack.settings.store.glob(pattern)]


def slow_to_read(pictures):
    """Return an archive whose every picture takes a good part of a second to check."""
    buffer = io.BytesIO()
    Image.new("RGB", (7500, 7500)).save(buffer, "PNG")
    return zipped(
        {f"{n % 3}.{n}.png": buffer.getvalue() + str(n).encode() for n in range(pictures)}
    )


def test_queued(stack, workers, submit, cancel):
    workers.kill()
    record = submit()
    answer = stack.trainer.post(f"/v1/trainings/{record['id']}/stop")
    assert answer.status_code == 409
    assert "nothing to publish yet" in answer.json()["detail"]
    assert stack.trainer.post(f"/v1/trainings/{record['id']}/cancel").json()["state"] == "cancelled"
    workers.start()
    cancel(submit())


def test_while_a_dataset_is_read(stack, submit, cancel):
    record = submit(slow_to_read(150))
    stack.reaches(record, "preparing")
    ended = cancel(record)

    dataset = stack.trainer.get(f"/v1/datasets/{ended['dataset']['id']}").json()
    assert (dataset["state"], dataset["error"]) == ("queued", None)


def test_while_another_reads_the_dataset(stack, submit, cancel, archive, directory):
    datasets = Stores.open(stack.settings).datasets
    upload = directory / "upload"
    upload.write_bytes(archive)
    dataset = create_from_upload(datasets, upload, "a.zip")
    with datasets.lease(dataset.id):
        record = submit(dataset=dataset.id)
        stack.reaches(record, "preparing")
        cancel(record)


def test_in_bottleneck_what_was_computed_is_kept(stack, submit, cancel, directory):
    more = zipped(digits(directory, "3456789", 80))
    record = submit(more)
    shards = stack.settings.store / "trainings" / record["id"] / "shards"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(shards.glob("*.result.json")):
        assert time.monotonic() < deadline, stack.trainer.get(f"/v1/trainings/{record['id']}").text
        time.sleep(0.005)
    ended = cancel(record)
    again = stack.train(
        model="again", architecture=ARCHITECTURE, dataset=ended["dataset"]["id"], epochs=1
    )

    assert again["cache"]["reused"] >= 64
    assert again["cache"]["computed"] < 560


@pytest.mark.parametrize("state", ["head", "publishing"])
def test_cancelled_in_the_head_phase_or_later(stack, submit, cancel, state):
    record = submit(**(ENDLESS if state == "head" else {}))
    stack.reaches(record, state)
    cancel(record, trains=True)


def test_while_no_worker_is_alive(stack, workers, submit, cancel):
    """The worker has died and none has replaced it, so the API itself ends the training."""
    record = submit(**ENDLESS)
    stack.reaches(record, "head")
    workers.kill()
    _wait_until_free(stack, record["id"])
    answer = stack.trainer.post(f"/v1/trainings/{record['id']}/cancel").json()
    assert answer["state"] == "cancelled"
    workers.start()
    cancel(submit(**ENDLESS))


def _wait_until_free(stack, training_id):
    """Wait until the system has taken a dead process's locks from it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    free = False
    while not free:
        assert time.monotonic() < deadline
        time.sleep(0.03)
        with Stores.open(stack.settings).trainings.lease(training_id) as held:
            free = held is not None


def test_a_version_that_a_dead_worker_has_published_stays(stack, workers, submit):
    record = submit(model="published")
    stack.reaches(record, "publishing")
    manifest = stack.settings.store / "models" / "published" / "1" / "manifest.json"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not manifest.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    workers.kill()
    answer = stack.trainer.post(f"/v1/trainings/{record['id']}/cancel")
    workers.start()

    assert answer.status_code in {202, 409}
    ended = stack.ended(record)
    assert (ended["state"], ended["version"]) == ("succeeded", 1)


def test_stopped_it_publishes_the_best_so_far(stack, submit):
    record = submit(model="stopped", **ENDLESS)
    url = f"/v1/trainings/{record['id']}"
    stack.reaches(record, "head")
    while (stack.trainer.get(url).json()["progress"] or {"done": 0})["done"] < 3:
        time.sleep(0.01)
    stopped = stack.trainer.post(f"{url}/stop")
    ended = stack.ended(record)

    assert stopped.status_code == 202
    assert stopped.json()["stop_after"] >= 3
    assert (ended["state"], ended["version"]) == ("succeeded", 1)
    history = stack.trainer.get(f"{url}/report").json()["history"]
    assert stopped.json()["stop_after"] <= len(history) < 10_000
    best = min(history, key=lambda epoch: epoch["val_loss"])
    validated = ended["metrics"]["validation"]
    assert validated["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-3)
    assert validated["loss"] <= best["val_loss"] + 1e-3  # the temperature only lowers it
    assert stack.trainer.post(f"{url}/stop").status_code == 409


def test_asked_to_stop_while_its_worker_is_dead_it_stops_where_it_was(stack, workers, submit):
    record = submit(model="stopped", **ENDLESS)
    stack.reaches(record, "head")
    workers.kill()
    answer = stack.trainer.post(f"/v1/trainings/{record['id']}/stop").json()
    workers.start()
    ended = stack.ended(record)

    assert ended["state"] == "succeeded"
    history = stack.trainer.get(f"/v1/trainings/{record['id']}/report").json()["history"]
    assert len(history) >= answer["stop_after"]
