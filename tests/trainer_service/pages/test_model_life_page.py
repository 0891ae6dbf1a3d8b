"""Notes, aliases, names and removal of models in the page, and what lies on the disk."""

import pytest
from playwright.sync_api import expect

from shared.models.annotations import read_annotations
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.processes.browser import forgiving_page, watched_page
from trainer_service.store.annotating import annotate_version
from trainer_service.store.model_life import rename_model

pytestmark = pytest.mark.integration


def test_what_is_said_of_a_version_is_written_and_shown(chromium, url, settings, stores):
    for _ in range(2):
        publish_tiny_model(settings.store, "noted")
    with watched_page(chromium, url) as page:
        page.goto("/#/models")
        card = page.get_by_role("region", name="Model noted")
        card.get_by_text("Notes, aliases, name, removal").click()
        form = card.get_by_role("form", name="A version of noted")
        form.get_by_label("Version").select_option("1")
        form.get_by_label("Alias").fill("champion")
        form.get_by_label("Note").fill("For the shop.\nNot for the zoo.")
        form.get_by_role("button", name="Save").click()
        first = card.locator('[data-version="1"]')
        expect(first.get_by_text("champion")).to_be_visible()
        expect(first).to_contain_text("Not for the zoo.")
        form.get_by_label("Alias").fill("still typing")
        card.get_by_label("Note of the model").fill("Cats and dogs.")
        card.get_by_role("button", name="Save the note").click()
        expect(card.locator("p.said")).to_have_text("Cats and dogs.")
        expect(form.get_by_label("Alias")).to_have_value("still typing")

    said = read_annotations(stores.models.root / "noted")
    assert (said.aliases(), said.note) == ({"champion": 1}, "Cats and dogs.")
    assert said.of(1).note == "For the shop.\nNot for the zoo."


def test_a_model_is_renamed_and_removed(chromium, url, settings, stores):
    publish_tiny_model(settings.store, "old")
    with forgiving_page(chromium, url) as page:
        page.goto("/#/models")
        card = page.get_by_role("region", name="Model old")
        card.get_by_text("Notes, aliases, name, removal").click()
        card.get_by_label("Name of the model").fill("new")
        card.get_by_role("button", name="Rename").click()
        card = page.get_by_role("region", name="Model new")
        expect(card.get_by_text("Formerly old.")).to_be_visible(timeout=15_000)
        card.get_by_text("Notes, aliases, name, removal").click()
        card.get_by_role("button", name="Remove new and all of its versions").click()
        card.get_by_role("button", name="Really remove").click()
        expect(card.get_by_role("alert")).to_contain_text("is served, with version 1")
        assert stores.models.versions("new") == [1]
        card.get_by_role("button", name="Remove it all the same").click()
        expect(card).to_have_count(0, timeout=15_000)
    assert "new" not in stores.models.names()


def test_the_page_of_a_training_says_what_its_model_is_called_now(result, stores, settings):
    page = result()
    training_id = page.url.rpartition("/")[2]
    publish_tiny_model(settings.store, "pets", training_id=training_id)
    annotate_version(stores.models, "pets", 1, {"alias": "staging", "note": "Try it."})
    rename_model(stores.models, "pets", "animals")
    page.reload()

    card = page.get_by_role("region", name="The version now")
    expect(card).to_contain_text("The model pets is called animals by now.")
    expect(card).to_contain_text("Version 1 has the alias staging. Note: Try it.")


def test_what_lies_on_the_disk_is_listed(chromium, url, settings):
    publish_tiny_model(settings.store, "large")
    with watched_page(chromium, url) as page:
        page.goto("/#/models")
        card = page.get_by_role("region", name="What lies on the disk")
        card.get_by_text("What lies on the disk").click()
        expect(card.get_by_role("row", name="Model large")).to_contain_text("kB")
        expect(card.get_by_text("are free")).to_be_visible()
        expect(card.get_by_text("What is removed next")).to_be_visible()
