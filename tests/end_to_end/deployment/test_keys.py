"""Headstart with API keys: pages, commands and services, all of them real."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.end_to_end.stack import digits, running_stack, zipped
from tests.support.processes.browser import watched_page

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
ARCHITECTURE = "efficientnet_lite0"
KEY, OTHER = "the-key-of-this-test", "another-key-of-this-test"
SECONDS = 90_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory, share_backbones):
    directory = tmp_path_factory.mktemp("keys")
    share_backbones(directory / "store")
    with running_stack(directory, api_keys=f"{OTHER},{KEY}") as running:
        yield running


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("pictures"), "01", 30)


@pytest.fixture(scope="module")
def submitted(stack, pictures):
    return stack.submit(zipped(pictures), model="figures", architecture=ARCHITECTURE, epochs=5)


def sign_in(page, key):
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()


def headstart(stack, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "HEADSTART_TRAINER_URL": str(stack.trainer.base_url),
            "HEADSTART_PREDICTOR_URL": str(stack.predictor.base_url),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_the_pages_ask_for_the_key_once_and_then_work(stack, chromium, submitted, pictures):
    """Events and pictures need it too, which browsers fetch by themselves."""
    url = str(stack.trainer.base_url)
    with watched_page(chromium, url, refusals=None) as page:
        page.goto(f"/#/trainings/{submitted['id']}")
        expect(page.get_by_role("heading", name="API key")).to_be_visible()
        expect(page.get_by_text("figures")).to_have_count(0)
        sign_in(page, "no-key-of-this-test")
        expect(page.get_by_role("alert")).to_have_text("This API key is not valid.")
        sign_in(page, KEY)

        expect(page.get_by_role("heading", name="API key")).to_have_count(0)
        expect(page.get_by_role("heading", name="Confusion")).to_be_visible(timeout=SECONDS)
        random = page.locator("section", has_text="Test images at random")
        expect(random.get_by_role("img").first).to_have_js_property("naturalWidth", 8)
        expect(page.get_by_text('-H "Authorization: Bearer $HEADSTART_API_KEY"')).to_have_count(2)
        assert page.evaluate("document.cookie") == ""

        stack.served("figures", 1)
        # The same host, another port: a browser sends the same cookie.
        page.goto(str(stack.predictor.base_url))
        name, data = next(iter(pictures.items()))
        file = {"name": name, "mimeType": "image/png", "buffer": data}
        page.set_input_files("#files", file)
        card = page.get_by_role("article", name=name)
        expect(card.get_by_role("listitem")).to_have_count(2, timeout=15_000)


@pytest.mark.parametrize("service", ["trainer", "predictor"])
def test_whoever_signs_out_sees_nothing_more(stack, chromium, service):
    url = str(getattr(stack, service).base_url)
    with watched_page(chromium, url, refusals=None) as page:
        page.goto("/")
        expect(page.get_by_role("heading", name="API key")).to_be_visible()
        leave = page.get_by_role("button", name="Sign out")
        expect(leave).to_have_count(0)
        sign_in(page, KEY)
        expect(leave).to_be_visible()
        page.reload()
        leave.click()

        expect(page.get_by_role("heading", name="API key")).to_be_visible()
        expect(leave).to_have_count(0)
        assert page.context.cookies() == []


def test_an_upload_from_the_page_asks_for_the_key(stack, chromium, pictures):
    url = str(stack.trainer.base_url)
    with watched_page(chromium, url, refusals=None) as page:
        page.goto("/")
        sign_in(page, KEY)
        expect(page.get_by_role("heading", name="API key")).to_have_count(0)
        page.context.clear_cookies()  # as if the session had ended
        file = {"name": "f.zip", "mimeType": "application/zip", "buffer": zipped(pictures)}
        page.set_input_files("#archive", file)
        sign_in(page, OTHER)
        expect(page.get_by_role("heading", name="Images: f.zip")).to_be_visible(timeout=SECONDS)


def test_the_command_takes_the_key_and_never_prints_it(stack, pictures, tmp_path):
    for name, data in pictures.items():
        (tmp_path / name).write_bytes(data)
    train = ["train", str(tmp_path), "--model", "more", "--architecture", ARCHITECTURE]
    refused = headstart(stack, *train)
    wrong = headstart(stack, "models", "--api-key", "no-key-of-this-test")
    done = headstart(stack, *train, "--epochs", "2", HEADSTART_API_KEY=KEY)
    listed = headstart(stack, "models", "--api-key", OTHER)
    helped = headstart(stack, "models", "--help", HEADSTART_API_KEY=KEY)

    for ended in (refused, wrong):
        assert ended.returncode == 1
        assert "asks for an API key: set HEADSTART_API_KEY, or give --api-key" in ended.stderr
    assert done.returncode == 0, done.stderr
    assert '-H "Authorization: Bearer $HEADSTART_API_KEY"' in done.stdout
    assert listed.returncode == 0
    assert "more" in listed.stdout
    assert all(KEY not in ended.stdout + ended.stderr for ended in (refused, done, listed, helped))


def test_no_service_answers_or_logs_what_is_behind_the_key(stack):
    paths = ["/v1/models", "/v1/trainings", "/v1/about", "/openapi.json", "/v1/predict"]
    for client in (stack.trainer, stack.predictor):
        for path in paths:
            assert httpx.get(f"{client.base_url}{path}").status_code == 401
        for path in ("/", "/healthz", "/readyz"):
            assert httpx.get(f"{client.base_url}{path}").is_success
    logged = "".join(file.read_text() for file in stack.logs.glob("*.log"))
    assert KEY not in logged
    assert OTHER not in logged
