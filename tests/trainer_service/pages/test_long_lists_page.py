"""Lists of several pages, in a real browser and in the command."""

import pytest
from playwright.sync_api import expect

from client.service import trainer_at
from tests.support.processes.browser import watched_page
from tests.support.trainer.builders import make_read_dataset, new_record
from trainer_service.datasets.records import RejectedFile
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.training_record import State
from trainer_service.store.stores import Stores

TRAININGS, REJECTED = 150, 1100

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return TrainerSettings(
        store=tmp_path_factory.mktemp("lists"), redis_url="redis://127.0.0.1:1/0"
    )


@pytest.fixture(scope="module")
def stores(settings):
    stores = Stores.open(settings)
    for _ in range(TRAININGS):
        record = new_record()
        record.state = State.CANCELLED
        stores.trainings.create(record)
    return stores


@pytest.mark.usefixtures("stores")
def test_the_command_lists_every_page(url):
    with trainer_at(url) as trainer:
        assert len({record["id"] for record in trainer.list("/v1/trainings")}) == TRAININGS


def test_the_page_shows_older_trainings_and_more_rejected_files(chromium, url, stores):
    files = [
        RejectedFile(name=f"{number:04}.png", label="", verdict="link", detail="no")
        for number in range(REJECTED)
    ]
    dataset = make_read_dataset(stores.datasets, {"cat": 4, "dog": 5}, files)

    with watched_page(chromium, url, refusals=None) as page:
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
