"""Lists of several pages, in a real browser and in the command."""

import threading
import time

import pytest
import uvicorn
from playwright.sync_api import expect

from client.service import trainer_at
from tests.support.processes.browser import running_browser, watched_page
from tests.trainer_service.builders import make_dataset, new_record
from trainer_service.app import create_app
from trainer_service.datasets.records import RejectedFile, save_images, save_rejected
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

TRAININGS, REJECTED = 150, 1100

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    settings = TrainerSettings(
        store=tmp_path_factory.mktemp("lists"), redis_url="redis://127.0.0.1:1/0"
    )
    stores = Stores.open(settings)
    for _ in range(TRAININGS):
        record = new_record()
        record.state = State.CANCELLED
        stores.trainings.create(record)
    return settings, stores


@pytest.fixture(scope="module")
def url(stores):
    config = uvicorn.Config(create_app(stores[0]), port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_the_command_lists_every_page(url):
    with trainer_at(url) as trainer:
        assert len({record["id"] for record in trainer.list("/v1/trainings")}) == TRAININGS


def test_the_page_shows_older_trainings_and_more_rejected_files(url, stores):
    dataset = make_dataset(
        stores[1].datasets, images=9, labels={"cat": 4, "dog": 5}, layout={"kind": "folders"}
    )
    files = [
        RejectedFile(name=f"{number:04}.png", label="", verdict="link", detail="no")
        for number in range(REJECTED)
    ]
    save_images(stores[1].datasets.directory(dataset), [])
    save_rejected(stores[1].datasets.directory(dataset), files)
    named = [RejectedImage(**file.model_dump()) for file in files]
    stores[1].datasets.update(dataset, lambda record: record.reject(named, {"link": REJECTED}))

    with running_browser() as browser, watched_page(browser, url, refusals=None) as page:
        page.goto("/#/trainings")
        rows = page.locator("table.records tbody tr")
        expect(rows).to_have_count(100)
        page.get_by_role("button", name="Show older ones").click()
        expect(rows).to_have_count(TRAININGS)
        expect(page.get_by_role("button", name="Show older ones")).to_be_hidden()

        page.goto(f"/#/datasets/{dataset}")
        expect(page.get_by_text("Labels are the names of folders.")).to_be_visible()
        page.get_by_text(f"{REJECTED:,} files will not be used: {REJECTED} link").click()
        expect(rows).to_have_count(20)
        page.get_by_role("button", name="Show 1000 more").click()
        expect(rows).to_have_count(1020)
        page.get_by_role("button", name="Show 1000 more").click()
        expect(rows).to_have_count(REJECTED)
        expect(page.get_by_role("button", name="Show 1000 more")).to_have_count(0)
