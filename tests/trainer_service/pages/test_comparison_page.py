"""Comparisons in the trainer's pages: how one is started, its table and picture, and publishing."""

import json

import pytest
from playwright.sync_api import expect

from tests.support.processes.browser import faint_texts
from tests.support.trainer.builders import make_read_dataset, new_comparison_record, new_record
from trainer_service.store.records.comparison_record import (
    ComparisonState,
    FirstRound,
    Row,
    ServingCost,
    Verdict,
)
from trainer_service.store.records.training_record import State, TrialResult

pytestmark = pytest.mark.integration

SECONDS = 20_000
NAMES = ("efficientnet_lite0", "mobilenet_v2", "vgg16")


def row(accuracy, single, p=1.0):
    cost = ServingCost(precision="f32", single=single, batched=single / 2, memory_bytes=10**8)
    return Row(
        images=40, accuracy=accuracy, accuracy_low=accuracy - 0.1, accuracy_high=accuracy + 0.05,
        loss=1 - accuracy, macro_f1=accuracy, p=p, wins=1, losses=3, difference=0.9 - accuracy,
        training_seconds=12.0, cost=cost, version_bytes=4 * 10**7, multiply_adds=3 * 10**8,
    )  # fmt: skip


@pytest.fixture
def ended(stores):
    """A comparison that has ended: of three, one was dropped in the first round."""
    for old in stores.comparisons.list():
        stores.comparisons.delete(old.id)
    record = new_comparison_record(ComparisonState.SUCCEEDED, architectures=NAMES)
    for place, accuracy in ((0, 0.9), (1, 0.85)):
        training = new_record(State.SUCCEEDED)
        training.comparison, training.withheld = record.id, 1
        stores.trainings.create(training)
        candidate = record.candidates[place]
        candidate.training, candidate.row = training.id, row(accuracy, 9.0 - 5 * place, 0.625)
    for candidate, loss in zip(record.candidates, (0.3, 0.4, 0.8), strict=True):
        candidate.first_round = FirstRound(loss=loss, standard_error=0.02, images=150)
    record.candidates[2].dropped = "In the first round its log loss was 0.800."
    record.verdict = Verdict(
        best=NAMES[0], recommended=NAMES[1], distinct=False, sentence="They can't be told apart."
    )
    stores.comparisons.create(record)
    return record


def test_the_table_and_the_picture_tell_what_was_found(page, ended):
    page.goto(f"/#/comparisons/{ended.id}")

    expect(page.get_by_text("They can't be told apart.")).to_be_visible(timeout=SECONDS)
    rows = page.get_by_role("region", name="Candidates").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("efficientnet_lite0 most accurate")
    expect(rows.nth(2)).to_contain_text("mobilenet_v2 recommended")
    expect(rows.nth(2)).to_contain_text("0.63")
    drawing = page.get_by_role("img", name="mobilenet_v2 85.0\u00a0% at 4.0")
    expect(drawing.locator("circle")).to_have_count(2)
    expect(drawing.locator("circle.line")).to_have_count(1)
    expect(page.get_by_role("listitem").filter(has_text="vgg16: In the first")).to_be_visible()
    page.get_by_text("First round, on 150 images").click()
    expect(page.get_by_text("vgg16: log loss 0.800 ± 0.020")).to_be_visible()
    assert faint_texts(page) == []


def test_one_that_was_not_recommended_can_be_published_by_a_button(page, stores, ended):
    page.goto(f"/#/comparisons/{ended.id}")
    rows = page.get_by_role("region", name="Candidates").get_by_role("row")
    rows.nth(1).get_by_role("button", name="Publish").click(timeout=SECONDS)

    expect(rows.nth(1)).to_contain_text("publishing …")
    wanted = ended.candidates[0].training
    assert stores.comparisons.get(ended.id).to_publish == wanted


def test_it_is_listed_and_its_trainings_are_not_among_the_others(page, ended):
    page.goto("/#/trainings")
    expect(page.get_by_text("None yet.")).to_be_visible(timeout=SECONDS)
    page.get_by_role("link", name="Comparisons").click()

    expect(page.get_by_role("row").nth(1)).to_contain_text("mobilenet_v2")
    page.get_by_role("row").nth(1).get_by_role("link", name="pets").click()
    expect(page.get_by_text("They can't be told apart.")).to_be_visible()


def test_one_is_started_beside_a_training_and_can_be_cancelled(page, stores):
    def both(route):
        rows = route.fetch().json()
        for one in rows:
            one["available"] |= one["id"] == "mobilenet_v2"
        route.fulfill(json=rows)

    page.route("**/v1/architectures", both)
    dataset = make_read_dataset(stores.datasets, {"cat": 40, "dog": 50})
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_text("Or compare several architectures").click(timeout=SECONDS)
    page.get_by_label("mobilenet_v2").and_(page.get_by_role("checkbox")).uncheck()
    page.get_by_role("button", name="Compare them").click()
    expect(page.get_by_text("Choose two or more.")).to_be_visible()

    page.get_by_label("mobilenet_v2").and_(page.get_by_role("checkbox")).check()
    # Its weights are not here, so the trainer is asked for the other one alone.
    asked = {}

    def sent(route):
        asked.update(json.loads(route.request.post_data))
        body = json.dumps({**asked, "architectures": ["efficientnet_lite0"]})
        route.continue_(post_data=body)

    page.route("**/v1/comparisons", sent)
    page.get_by_label("Publish").select_option("none")
    page.get_by_role("button", name="Compare them").click()
    page.wait_for_url("**/#/comparisons/*")

    assert asked["dataset"] == dataset
    assert asked["architectures"] == ["mobilenet_v2", "efficientnet_lite0"]
    assert (asked["rounds"], asked["publish"]) == ("halving", "none")
    assert "architecture" not in asked
    page.get_by_role("button", name="Cancel").click(timeout=SECONDS)
    [record] = [one for one in stores.comparisons.list() if one.state == "queued"]
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
    assert stores.comparisons.get(record.id).cancel_requested


def test_a_training_of_the_first_round_tells_what_it_has_found(page, stores, ended):
    trial = new_record(State.SUCCEEDED)
    trial.comparison, trial.trial_images = ended.id, 50
    trial.trial = TrialResult(loss=0.3309, standard_error=0.0424, images=150)
    stores.trainings.create(trial)

    page.goto(f"/#/trainings/{trial.id}")

    found = page.get_by_text("on 150 images, none of them a test image: log loss 0.331 ± 0.042.")
    expect(found).to_be_visible(timeout=SECONDS)
    expect(page.locator(".problem")).to_have_count(0)
    page.get_by_role("link", name="comparison", exact=True).click()
    expect(page.get_by_text("They can't be told apart.")).to_be_visible()
