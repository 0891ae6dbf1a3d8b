"""`GET /v1/trainings/{id}/report`, and the report in a real browser."""

import asyncio
import json
import threading
import time

import httpx
import pytest
import uvicorn
from playwright.sync_api import expect

from shared.models.model_store import REPORT_FILE, REPORT_PAGE
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.browser import running_browser, watched_page
from tests.trainer_service.report.facts import facts
from trainer_service.api.accept import prefers
from trainer_service.app import create_app
from trainer_service.report.page import render
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

EVIL = "<img src=x onerror=document.title='evil'>"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def told(directory):
    return facts(directory, labels=(EVIL, "a rather long label of many words", "owl"))


@pytest.fixture(scope="module")
def settings(directory, told):
    """A store with one training that was published with a report, and one without."""
    settings = TrainerSettings(store=directory / "store", redis_url="redis://127.0.0.1:1/0")
    trainings = Stores.open(settings).trainings
    record = told.record.model_copy(deep=True)
    for id_, files in ((record.id, {REPORT_PAGE: render(told)}), (f"{record.id[:-6]}abcdef", {})):
        record.id = id_
        record.version = publish(settings.store, id_, {REPORT_FILE: '{"history": []}'} | files)
        record.state = State.SUCCEEDED
        trainings.create(record)
    return settings


def publish(store, training_id, files):
    def add(staging):
        for name, text in files.items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text(text)

    return publish_tiny_model(store, "pets", training_id=training_id, change=add)


@pytest.fixture(scope="module")
def ask(settings, told):
    """Ask for the report of the training that has one."""
    transport = httpx.ASGITransport(create_app(settings))

    async def call(training_id, accept, format_):
        async with httpx.AsyncClient(transport=transport, base_url="http://trainer") as client:
            parameters = {"format": format_} if format_ else {}
            url = f"/v1/trainings/{training_id}/report"
            return await client.get(url, params=parameters, headers={"Accept": accept})

    def run(accept="*/*", format_=None, training_id=told.record.id):
        return asyncio.run(call(training_id, accept, format_))

    return run


@pytest.mark.parametrize(
    ("accept", "format_", "kind"),
    [
        ("*/*", None, "application/json"),
        ("application/json", None, "application/json"),
        (BROWSER, None, "text/html"),
        ("text/html", None, "text/html"),
        (BROWSER, "json", "application/json"),
        ("*/*", "html", "text/html"),
    ],
)
def test_browsers_get_html_and_programs_json(ask, accept, format_, kind):
    answer = ask(accept, format_)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_html_comes_under_a_policy_that_allows_no_script(ask):
    policy = ask(BROWSER).headers["content-security-policy"]

    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert policy.endswith("sandbox")


def test_a_version_from_before_there_were_reports_answers_what_it_has(ask, told):
    older = f"{told.record.id[:-6]}abcdef"

    assert json.loads(ask(BROWSER, training_id=older).content) == {"history": []}
    refusal = ask(format_="html", training_id=older)
    assert refusal.status_code == 404
    assert "before there were reports in HTML" in refusal.json()["detail"]


def test_another_format_is_refused(ask):
    assert ask(format_="pdf").status_code == 422


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", True),
        ("text/html;q=0.5, application/json", False),
        ("text/html, application/json;q=0.9", True),
        ("text/html; q=1.0, */*; q=0.1", True),
        ("text/html;q=x", True),
        ("application/json, text/html", False),
    ],
)
def test_the_quality_of_a_media_type_decides(accept, html):
    assert prefers(accept, "text/html", "application/json") is html


@pytest.fixture(scope="module")
def trainer(settings):
    """The trainer's address; it runs in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def chromium():
    with running_browser() as running:
        yield running


@pytest.mark.integration
@pytest.mark.parametrize("from_disk", [True, False])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_disk_and_from_the_trainer(
    chromium, trainer, settings, told, from_disk, scheme
):
    """On a phone's width, with nothing asked of the network and nothing refused by a policy."""
    file = settings.store / "models" / "pets" / "1" / REPORT_PAGE
    served = f"{trainer}/v1/trainings/{told.record.id}/report"
    url = file.as_uri() if from_disk else served
    viewport = {"width": 360, "height": 740}
    with watched_page(chromium, trainer, viewport=viewport, color_scheme=scheme) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)

        expect(page.get_by_role("heading", name="pets, version 3")).to_be_visible()
        expect(page.get_by_role("rowheader", name=EVIL).first).to_be_visible()
        page.get_by_text("Settings", exact=True).click()
        expect(page.get_by_text("learning_rate", exact=True)).to_be_visible()
        for picture in page.locator("img").all():
            expect(picture).to_have_js_property("naturalWidth", 160)
        assert page.title() == "pets, version 3"
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert [address for address in asked if not address.startswith("data:")] == [url]


@pytest.mark.integration
def test_a_mark_of_direction_in_a_label_turns_no_number_beside_it(chromium, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render(facts(tmp_path, labels=("\u202edog", "\u202ecat", "\u202eowl"))))
    page = chromium.new_page()
    page.goto(file.as_uri())
    assert page.locator(".pictures figcaption > span", has_text="%").count() > 1
    assert page.evaluate(TURNED) == []
    page.close()


#: The captions whose percentage does not run from left to right.
TURNED = """() => [...document.querySelectorAll(".pictures figcaption > span")].filter((span) => {
  const text = span.lastChild;
  if (!text.data?.includes("%")) return false;
  const left = (at) => {
    const range = document.createRange();
    range.setStart(text, at);
    range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  };
  const first = text.data.search(/\\d/);
  return left(first) > left(text.data.indexOf("%"));
}).map((span) => span.textContent)"""
