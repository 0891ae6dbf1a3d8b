"""What is served is shown before a training, after it, and beside the versions of a model."""

import pytest
from playwright.sync_api import expect

from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.browser import watched_page
from tests.support.trainer.builders import make_read_dataset
from trainer_service.store.promoting import Verdict
from trainer_service.store.records.training_record import Promotion

pytestmark = pytest.mark.integration

WHY = "Its labels differ from those of version 1, which is served: it has also 'fine'."


@pytest.fixture(scope="module", autouse=True)
def versions(settings):
    """A version that is served, and one that is published only."""
    publish_tiny_model(settings.store, "pets")
    publish_tiny_model(settings.store, "pets", verdict=Verdict(served=False, reason=WHY))


def test_a_version_that_is_not_served_says_why_and_can_be_served(result, stores):
    def refuse(record):
        record.version, record.promotion = 2, Promotion(served=False, reason=WHY)

    page = result()
    stores.trainings.update(page.url.rpartition("/")[2], refuse)
    page.reload()
    card = page.get_by_role("region", name="Whether it is served")
    expect(card).to_contain_text("Published, not served")
    expect(card).to_contain_text(WHY)
    card.get_by_role("button", name="Serve it").click()
    expect(card).to_contain_text("Version 2 of pets is to be served from now on.")
    assert stores.models.snapshot("pets").preferred == [2, 1]


def test_versions_are_rolled_back_and_served_again_and_that_is_kept(chromium, url, stores):
    with watched_page(chromium, url) as page:
        page.goto("/#/models")
        card = page.get_by_role("region", name="Model pets")
        expect(card.get_by_text("Someone has asked for it.")).to_be_visible()
        card.get_by_role("button", name="Roll back").click()
        expect(card.get_by_text("Version 1 is to be served. Rolled back")).to_be_visible()
        expect(card.get_by_role("button", name="Roll back")).to_have_count(0)
        expect(card.get_by_text("not served", exact=True)).to_be_visible()
        card.get_by_text("Which version was served, and why").click()
        kept = card.get_by_role("listitem")
        expect(kept).to_have_count(len(stores.models.decisions("pets")))
        expect(kept.first).to_contain_text("Version 1 was decided to be served, by a rollback.")
        card.get_by_role("button", name="Serve version 2").click()
        expect(card.get_by_text("Version 2 is to be served. Someone")).to_be_visible()
        expect(kept.first).to_contain_text("Version 2 was decided to be served, on request.")


def test_before_a_training_it_is_told_what_is_served(chromium, url, stores):
    dataset = make_read_dataset(stores.datasets, {"cat": 3, "dog": 3}, source="pets.zip")
    with watched_page(chromium, url, refusals=None) as page:
        page.goto(f"/#/datasets/{dataset}")
        served = page.get_by_text("pets is served: version 2, red, green and blue")
        expect(served).to_be_visible()
        page.get_by_label("Model name").fill("cats")
        expect(page.get_by_text("cats is a new model.")).to_be_visible()
        expect(page.get_by_label("Promote")).to_have_value("auto")
