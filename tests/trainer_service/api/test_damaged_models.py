"""Models of which something can't be read, as the API, the command and the page show them."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from launcher.services import free_port
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.browser import running_browser, watched_page
from tests.support.processes.predictor_process import wait_for
from trainer_service.store.publishing import WritableModelStore

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:1"
LOOP = "Too many levels of symbolic links"
NOT_LISTED = f"The directory of model 'astray' can't be listed: {LOOP}."


@contextmanager
def running_trainer(directory: Path, redis_url: str):
    """Run `python -m trainer_service` over a store in a directory, and yield its address."""
    port = free_port()
    settings = {
        "HEADSTART_STORE": str(directory / "store"),
        "HEADSTART_REDIS_URL": redis_url,
        "HEADSTART_TRAINER_PORT": str(port),
    }
    command = [sys.executable, "-m", "trainer_service"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(url), "the trainer to answer")
        yield url
    finally:
        process.kill()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A store with one model of each kind of damage, and a sound one after them all."""
    directory = tmp_path_factory.mktemp("damaged")
    models = WritableModelStore(directory / "store")
    for name in ("broken", "halves", "halves", "pinless", "sound"):
        publish_tiny_model(directory / "store", name)
    for name in ("broken", "halves"):
        (models.directory(name, 1) / "manifest.json").write_text("{")
    (models.root / "pinless/pin.json").write_text("[" * 4000)
    (models.root / "astray").symlink_to("astray")
    return directory


@pytest.fixture(scope="module")
def trainer(directory, redis_url):
    with running_trainer(directory, redis_url) as url:
        yield url


def test_the_api_lists_all_and_says_what_is_wrong(trainer):
    models = httpx.get(f"{trainer}/v1/models").json()

    assert {
        model["name"]: (
            [version["version"] for version in model["versions"]],
            [version["version"] for version in model["damaged"]],
        )
        for model in models
    } == {
        "astray": ([], []),
        "broken": ([], [1]),
        "halves": ([2], [1]),
        "pinless": ([1], []),
        "sound": ([1], []),
    }
    astray, broken, _, pinless, sound = models
    assert astray["notice"] == NOT_LISTED
    assert broken["damaged"][0]["reason"].startswith("manifest.json: the document: Invalid JSON")
    assert "pin of model 'pinless' can't be read: pin.json: the document" in pinless["notice"]
    assert (sound["damaged"], sound["notice"]) == ([], None)
    for model in models:
        assert httpx.get(f"{trainer}/v1/models/{model['name']}").json() == model


def test_what_can_not_be_done_is_said(trainer):
    answer = httpx.put(f"{trainer}/v1/models/astray/pin", json={"version": 1})
    assert (answer.status_code, answer.json()["detail"]) == (500, NOT_LISTED)
    answer = httpx.delete(f"{trainer}/v1/models/pinless/versions/1")
    assert answer.status_code == 409
    assert "The pin of model 'pinless' can't be read" in answer.json()["detail"]


def test_the_command_lists_all_and_says_what_is_wrong(trainer):
    done = subprocess.run(
        [sys.executable, "-m", "client", "models", "--trainer", trainer, "--predictor", NOWHERE],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["broken", "1", "-", "damaged", *"----"] in rows
    assert ["astray", *"-------"] in rows
    assert ["halves", "2", "-", "mean_colour", "3", "1.0000"] in [row[:6] for row in rows]
    assert "Version 1 of broken is damaged: manifest.json: the document: Inv" in done.stdout
    assert "Version 1 of halves is damaged: manifest.json" in done.stdout
    assert NOT_LISTED in done.stdout


def test_the_page_shows_all_and_says_what_is_wrong(trainer):
    with running_browser() as browser, watched_page(browser, trainer) as page:
        page.goto("/#/models")
        broken = page.get_by_role("region", name="Model broken")
        expect(broken.get_by_text("Version 1 is damaged: manifest.json")).to_be_visible()
        expect(broken.get_by_role("table")).to_have_count(0)
        halves = page.get_by_role("region", name="Model halves")
        expect(halves.get_by_text("Version 1 is damaged")).to_be_visible()
        expect(halves.get_by_role("row")).to_have_count(2)
        astray = page.get_by_role("region", name="Model astray")
        expect(astray.get_by_text("can't be listed")).to_be_visible()
        sound = page.get_by_role("region", name="Model sound")
        sound.get_by_role("button", name="Pin version 1").click()
        expect(sound.get_by_text("stays with version 1")).to_be_visible()
        expect(page.locator(".problem")).to_have_count(4)


def test_damaged_versions_are_removed_on_request_and_what_is_served_stays(tmp_path, redis_url):
    models = WritableModelStore(tmp_path / "store")
    for _ in range(3):
        publish_tiny_model(tmp_path / "store")
    (models.directory("colours", 3) / "openvino/model.bin").write_bytes(b"")
    with running_trainer(tmp_path, redis_url) as url:
        path = f"{url}/v1/models/colours/versions"
        served = httpx.delete(f"{path}/2")
        assert served.status_code == 409
        assert "Version 2 of model 'colours' is the one that is served" in served.json()["detail"]
        assert httpx.delete(f"{path}/3").status_code == 204
        assert httpx.delete(f"{path}/1").status_code == 204
        assert httpx.delete(f"{path}/2").status_code == 409
    assert models.versions("colours") == [2]
