"""Workers of other hosts, which see the datasets elsewhere or not at all: as mount namespaces."""

import subprocess
import sys
import time
from contextlib import contextmanager
from os import environ

import pytest

from launcher import services
from launcher.processes import Guard, Process
from tests.end_to_end.stack import digits, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
PROBE = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]


@pytest.fixture(scope="module")
def datasets(directory):
    """Two folders of pictures, which share none."""
    for name, labels in (("digits", "01"), ("others", "23")):
        folder = directory / "datasets" / name
        folder.mkdir(parents=True)
        for file, data in digits(directory, labels, 80).items():
            (folder / file).write_bytes(data)
    return directory / "datasets"


@pytest.fixture(scope="module")
def stack(directory, datasets, redis_url, share_backbones):
    share_backbones(directory / "store")
    settings = {"datasets": datasets, "redis_url": redis_url, "lease_seconds": 4}
    with running_stack(directory, workers=0, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def _allowed_to_mount():
    try:
        done = subprocess.run(PROBE, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@contextmanager
def worker_elsewhere(settings, log, script):
    """Start a worker for which a shell has mounted things that nobody else sees."""
    environment = {**environ, **services._environment(settings)}
    command = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    worker = [sys.executable, "-m", services.WORKER]
    with Guard() as guard, Process(command + worker, environment, log, guard).running():
        yield log


def wait_for(log, text):
    deadline = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@pytest.mark.usefixtures("_allowed_to_mount")
def test_workers_that_see_the_images_elsewhere_or_not_at_all(
    stack, workers, directory, datasets, tmp_path
):
    """One worker sees no image, so another prepares it; a third has a mount point of its own."""
    hide = f"mount -t tmpfs tmpfs {datasets}"
    move = f"mount --bind {datasets} {tmp_path}\n{hide}"
    elsewhere = stack.settings.model_copy(update={"datasets": tmp_path})
    with worker_elsewhere(stack.settings, directory / "blind.log", hide) as blind:
        record = stack.submit(dataset={"path": "digits"}, architecture=ARCHITECTURE)
        wait_for(blind, "handed over")
        workers.one()
        assert stack.reaches(record, "bottleneck") == "bottleneck"
        workers.kill()
        with worker_elsewhere(elsewhere, directory / "moved.log", move) as moved:
            ended = stack.ended(record)

    assert ended["state"] == "succeeded", ended["error"]
    assert ended["dataset"]["rejected"] == []
    assert ended["dataset"]["images"] == ended["cache"]["computed"] == 160
    assert "HEADSTART_DATASETS: this worker can't see the images" in blind.read_text()
    assert f"Expected them in '{datasets}/digits'" in blind.read_text()
    assert "Traceback" not in blind.read_text() + moved.read_text()
    assert "computing shard" in moved.read_text()


def test_a_folder_that_is_away_for_a_moment(stack, workers, datasets):
    workers.one()
    record = stack.submit(dataset={"path": "others"}, architecture=ARCHITECTURE)
    assert stack.reaches(record, "bottleneck") == "bottleneck"
    (datasets / "others").rename(datasets / "away")
    time.sleep(0.6)
    (datasets / "away").rename(datasets / "others")
    ended = stack.ended(record)

    assert ended["state"] == "succeeded", ended["error"]
    assert ended["dataset"]["rejected"] == []
    assert ended["dataset"]["images"] == ended["cache"]["computed"] == 160
