"""The form that publishes a pre-trained network, and the page of what comes of it."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.requests.training import TrainingRequest
from trainer_service.store.records.training_record import (
    State,
    TrainingDataset,
    TrainingRecord,
    Transition,
)

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = "20260101-000000-abcdef"


def test_a_network_is_chosen_named_and_narrowed(page, stores):
    page.goto("/")
    page.get_by_text("Use a pre-trained network").click()
    page.get_by_label("Name of the model").fill("pets")
    page.get_by_label("Only these classes").fill("cat: tabby cat, tiger cats")
    page.get_by_role("button", name="Publish it").click()
    expect(page.get_by_role("alert")).to_contain_text("Did you mean 'tiger cat'")

    page.get_by_label("Only these classes").fill("cat: tabby cat, tiger cat\nzebra")
    page.get_by_label("for everything else").uncheck()
    page.get_by_role("button", name="Publish it").click()

    phases = page.get_by_role("list", name="Phases")
    expect(phases.get_by_role("listitem")).to_have_count(3)
    expect(phases).to_contain_text("gets the weights")
    [record] = [stores.trainings.get(brief.id) for brief in stores.trainings.briefs()]
    assert record.pretrained.classes == {"cat": ["tabby cat", "tiger cat"], "zebra": ["zebra"]}
    assert record.pretrained.rest is None


def test_the_page_of_one_that_is_published_leads_to_the_predictor(page, stores):
    record = TrainingRecord(
        id=ID,
        model="imagenet",
        architecture="efficientnet_lite0",
        state=State.PUBLISHING,
        pretrained=PretrainedRequest(name="imagenet", pretrained="efficientnet_lite0"),
        dataset=TrainingDataset(),
        transitions=[Transition(state=State.PUBLISHING, at=NOW)],
        request=TrainingRequest(model="imagenet", architecture="efficientnet_lite0"),
        created_at=NOW,
    )
    stores.trainings.create(record)

    def succeed(record):
        record.version = 1
        record.enter(State.SUCCEEDED)

    stores.trainings.update(ID, succeed)
    page.goto(f"/#/trainings/{ID}")

    expect(page.get_by_role("heading", name="A pre-trained network, as it is")).to_be_visible()
    way = page.get_by_role("link", name="Try it on the predictor's page")
    expect(way).to_have_attribute("href", "http://127.0.0.1:8001/?model=imagenet")
    expect(page.get_by_text("It answers the 1,000 classes of ImageNet.")).to_be_visible()
    page.goto("/#/trainings")
    expect(page.get_by_text("efficientnet_lite0, as it is")).to_be_visible()
