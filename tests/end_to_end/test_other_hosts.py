"""Workers of other hosts, which see the datasets elsewhere or not at all: as mount namespaces."""

import subprocess
import sys
import time
from contextlib import contextmanager
from os import environ

import pytest

from launcher import services
from tests.end_to_end.stack import Workers, digits, running_stack

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
PROBE = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]


@pytest.fixture(scope="module", autouse=True)
def _allowed_to_mount():
    try:
        done = subprocess.run(PROBE, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def datasets(tmp_path):
    directory = tmp_path / "datasets"
    pets = directory / "digits"
    pets.mkdir(parents=True)
    for name, data in digits(tmp_path, "01", 80).items():
        (pets / name).write_bytes(data)
    return directory


@contextmanager
def worker_elsewhere(settings, log, script):
    """Start a worker for which a shell has mounted things that nobody else sees."""
    environment = {**environ, **services._environment(settings)}
    command = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    worker = [sys.executable, "-m", services.WORKER]
    with services._process(command + worker, environment, log):
        yield log


def wait_for(log, text):
    deadline = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_workers_that_see_the_images_elsewhere_or_not_at_all(tmp_path, datasets, redis_url):
    """Three hosts: the first is as all others are, the second has another mount point."""
    there = tmp_path / "there"
    there.mkdir()
    hide = f"mount -t tmpfs tmpfs {datasets}"
    move = f"mount --bind {datasets} {there}\n{hide}"
    with running_stack(
        tmp_path, workers=0, redis_url=redis_url, datasets=datasets, lease_seconds=4
    ) as stack:
        settings = stack.settings
        elsewhere = settings.model_copy(update={"datasets": there})
        blind = worker_elsewhere(settings, tmp_path / "blind.log", hide)
        moved = worker_elsewhere(elsewhere, tmp_path / "moved.log", move)
        with Workers(settings, stack.logs) as workers, blind as blind, moved as moved:
            # Whoever was first to prepare it, the two that see the images compute it.
            record = stack.submit(dataset={"path": "digits"}, architecture=ARCHITECTURE)
            wait_for(blind, "HEADSTART_DATASETS")
            workers.one()
            ended = stack.ended(record)

    assert ended["state"] == "succeeded", ended["error"]
    assert ended["dataset"]["rejected"] == []
    assert ended["dataset"]["images"] == ended["cache"]["computed"] == 160
    assert f"Expected them in '{datasets}/digits'" in blind.read_text()
    assert "Traceback" not in blind.read_text() + moved.read_text()
    assert "computing shard" in moved.read_text()
