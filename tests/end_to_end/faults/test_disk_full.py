"""A disk that is full, and one that may not be written: real ones, of a few megabytes of memory."""

import os
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.end_to_end.stack import digits, running_stack, zipped
from tests.support.processes.predictor_process import running_predictor, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
DISK_BYTES = 220 << 20
CHUNK = 1 << 16
#: Of 240 images.
FEATURE_BYTES = 240 * 7_424 * 2


@contextmanager
def mounted(directory, *options):
    """Mount something at a directory, or skip where that is not allowed."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *options, directory], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(scope="module")
def directory():
    """A directory that pytest does not manage.

    If a run is killed, the disk stays mounted, and pytest would fail to remove it in later runs.
    """
    with TemporaryDirectory(prefix="headstart-full-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def store(directory):
    with mounted(directory / "store", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs") as disk:
        yield disk


@pytest.fixture(scope="module")
def stack(directory, store):
    with running_stack(directory) as running:
        yield running


@pytest.fixture(scope="module")
def first(stack, directory):
    """A training that has all the space it wants; its version is served on."""
    archive = zipped(digits(directory, "01", 40))
    record = stack.train(archive, model="first", architecture=ARCHITECTURE)
    stack.served("first", 1)
    return record


@pytest.fixture
def left(store, first):
    """Fill the disk but for so many bytes; afterwards it has space again."""
    ballast = store / "ballast"

    def fill(free):
        with ballast.open("wb") as file:
            missing = available(store) - free
            assert missing > 0
            os.posix_fallocate(file.fileno(), 0, missing)

    yield fill
    ballast.unlink(missing_ok=True)


def available(store):
    status = os.statvfs(store)
    return status.f_bavail * status.f_frsize


def free(store):
    (store / "ballast").unlink()


def remains(store):
    patterns = (
        "uploads/*",
        "trainings/*/shards",
        "models/*/.staging-*",
        "features/**/.*.tmp",
        "datasets/*/.staging-*",
        "*/*/.*.tmp",
    )
    return [path for pattern in patterns for path in store.glob(pattern)]


def failed_for_want_of_space(stack, store, record, said="No space left on device"):
    ended = stack.ended(record)
    assert ended["state"] == "failed", ended
    assert said in ended["error"]["detail"]
    wait_for(lambda: not remains(store), "what was begun to be removed", 60)
    serves_on(stack)
    return ended


def serves_on(stack):
    for path in ("/v1/trainings", "/v1/datasets", "/v1/models", "/readyz"):
        assert stack.trainer.get(path).status_code == 200
    assert stack.predictor.get("/v1/models/first").json()["version"] == 1


def test_while_uploading(stack, store, left):
    known = len(stack.trainer.get("/v1/datasets").json())
    left(200_000)
    files = {"archive": ("big.zip", os.urandom(3 << 20))}
    for path, form in (("/v1/datasets", {}), ("/v1/trainings", {"architecture": ARCHITECTURE})):
        answer = stack.trainer.post(path, data=form, files=files)
        assert answer.status_code == 507, answer.text
        assert "no space left" in answer.json()["detail"]
    assert remains(store) == []
    assert len(stack.trainer.get("/v1/datasets").json()) == known
    serves_on(stack)


def test_while_images_are_unpacked(stack, store, left, directory):
    pictures = digits(directory, "345", 80)
    left(600_000)
    record = stack.submit(zipped(pictures), model="extracted", architecture=ARCHITECTURE)
    ended = failed_for_want_of_space(stack, store, record)
    dataset_id = ended["dataset"]["id"]
    dataset = stack.trainer.get(f"/v1/datasets/{dataset_id}").json()
    assert (dataset["state"], dataset["error"]["transient"]) == ("failed", True)
    assert "No space left on device" in dataset["error"]["detail"]

    free(store)
    again = stack.train(model="extracted", architecture=ARCHITECTURE, dataset=dataset_id)
    assert again["dataset"]["images"] == 240
    assert stack.trainer.get(f"/v1/datasets/{dataset_id}").json()["error"] is None


def test_while_features_are_stored(stack, store, left, directory):
    archive = zipped(digits(directory, "678", 80))
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("a.zip", archive)})
    url = answer.headers["location"]
    while stack.trainer.get(url).json()["state"] != "ready":
        time.sleep(0.05)
    fields = {"model": "features", "architecture": ARCHITECTURE, "dataset": answer.json()["id"]}
    left(700_000)
    refused = stack.submit(**fields)
    failed_for_want_of_space(stack, store, refused, "240 rows of 7,424 features take 4 MB")
    assert not list(store.glob("trainings/*/shards"))

    free(store)
    left(FEATURE_BYTES + 40_000)  # for all features, but not for their indexes and the plan as well
    failed_for_want_of_space(stack, store, stack.submit(**fields))

    free(store)
    cache = stack.train(**fields)["cache"]
    assert cache["reused"] >= 32
    assert cache["reused"] + cache["computed"] == 240
    assert cache["computed"] > 0


def test_while_exporting(stack, store, left, first):
    fields = {
        "model": "exported",
        "architecture": ARCHITECTURE,
        "dataset": first["dataset"]["id"],
    }
    for megabytes in (5, 20, 35):
        with suppress(FileNotFoundError):
            free(store)
        left(megabytes << 20)
        ended = failed_for_want_of_space(stack, store, stack.submit(**fields))
        assert ended["transitions"][-2]["state"] == "publishing"
        assert not list((store / "models" / "exported").glob("[0-9]*"))

    free(store)
    again = stack.train(**fields)
    assert (again["version"], again["cache"]["computed"]) == (1, 0)


def test_a_predictor_needs_only_to_read(stack, store, first, directory):
    with mounted(directory / "read", "--bind", "-o", "ro", store) as read_only:
        with pytest.raises(OSError, match="Read-only"):
            (read_only / "x").touch()
        with running_predictor(read_only, directory / "read.log") as predictor:
            predictor.wait_for_version(1, "first")
            answer = predictor.predict(*digits(directory, "0", 1).values(), model="first")
            assert answer.status_code == 200
