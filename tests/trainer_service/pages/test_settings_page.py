"""The settings of a training in the trainer's page, and what is sent of them."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.trainer.builders import make_read_dataset

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(page, stores):
    """Open the form of a dataset with all settings, and return what its button then sends."""
    dataset = make_read_dataset(stores.datasets, {"cat": 40, "dog": 50})
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_text("Other settings").click()

    def send():
        with page.expect_request(lambda request: request.method == "POST") as posted:
            page.get_by_role("button", name="Start training").click()
        return json.loads(posted.value.post_data)

    return send


def test_only_what_was_changed_is_sent(page, sent):
    assert not {"views", "augment"} & sent().keys()


def test_views_and_what_they_may_change_are_sent(page, sent):
    page.get_by_role("combobox", name="Views").select_option("4")
    page.get_by_role("group", name="Augment").get_by_label("mirror").uncheck()
    body = sent()

    assert (body["views"], body["augment"]) == (4, ["crop", "colour"])


def test_what_is_wrong_with_them_is_told(page, sent):
    page.get_by_role("group", name="Augment").get_by_label("mirror").uncheck()
    sent()
    at_the_boxes_and_below = 2
    told = page.get_by_text("with views: 1 there are none")
    expect(told).to_have_count(at_the_boxes_and_below)

    page.get_by_role("combobox", name="Views").select_option("2")
    for change in ("crop", "colour"):
        page.get_by_role("group", name="Augment").get_by_label(change).uncheck()
    sent()
    expect(page.get_by_text("at least 1 item")).to_have_count(at_the_boxes_and_below)
