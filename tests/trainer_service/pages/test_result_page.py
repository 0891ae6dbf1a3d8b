"""The evaluation in the page of a training that has ended."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from shared.models.manifest import Share, UnknownInfo
from tests.support.processes.browser import faint_texts
from trainer_service.store.records.training_record import SuspectCount

pytestmark = pytest.mark.integration

CALIBRATION = {
    "brier": 0.25,
    "calibration_detail": "Where the model says 80 %, it is right for 75 %.",
    "calibration": [
        {
            "probability": probability,
            "accuracy": accuracy,
            "accuracy_low": accuracy - 0.1,
            "accuracy_high": min(1, accuracy + 0.1),
            "images": 9,
        }
        for probability, accuracy in ((0.6, 0.5), (0.8, 0.75), (0.95, 0.9))
    ],
}


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (360, False)])
def test_calibration_is_drawn_beside_its_words_where_there_is_room(result, width, beside):
    page = result(test=CALIBRATION, viewport={"width": width, "height": 740})
    name = "Can its probabilities be trusted?"
    card = page.locator("section.card", has=page.get_by_role("heading", name=name))
    words, diagram = card.get_by_text("Where the model says 80 %"), card.get_by_role("img")

    expect(words).to_be_visible()
    expect(card).to_contain_text("Log loss 1.0000, Brier score 0.2500")
    assert "75.0\u00a0% of 9 images right at 80.0" in diagram.get_attribute("aria-label")
    expect(diagram.locator("circle")).to_have_count(3)
    [left, right] = diagram.bounding_box(), words.bounding_box()
    assert (right["x"] > left["x"] + left["width"]) == beside
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faint_texts(page) == []


def test_what_was_measured_of_unknown_pictures_is_told_and_listed(result):
    share = Share(count=9, pictures=10, low=0.6, high=0.98)
    told = UnknownInfo(
        images=20,
        distances=40,
        compared="validation",
        rate=0.05,
        false_alarms=Share(count=1, pictures=30, low=0.01, high=0.2),
        probes={"noise": share},
        left_out=Share(count=3, pictures=30, low=0.03, high=0.3),
        detail="Of 30 test images, 3.3 % are called <unknown>.",
    )
    page = result(unknown=told, viewport={"width": 360, "height": 740})
    name = "Does it know what it does not know?"
    card = page.locator("section.card", has=page.get_by_role("heading", name=name))

    expect(card).to_contain_text(told.detail)
    rows = card.locator("tbody").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_text(re.compile(r"false alarms\)1303\.3.%1\.0.% to 20\.0.%$"))
    expect(rows.nth(1)).to_contain_text("Drawn: noise")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert faint_texts(page) == []


def test_a_training_of_before_has_no_card_of_unknown_pictures(result):
    expect(result().get_by_text("Does it know what it does not know?")).to_have_count(0)


def test_an_evaluation_of_before_has_no_card_of_calibration(result):
    expect(result().get_by_text("Can its probabilities be trusted?")).to_have_count(0)


def test_the_images_of_a_cell_are_shown_when_it_is_chosen(result):
    page = result()
    page.get_by_role("button", name="1 image of cat taken for cat").press("Enter")
    shown = page.get_by_label("Images of the chosen cell")

    expect(shown).to_contain_text("cat taken for cat: 1 image")
    expect(shown.get_by_role("img")).to_have_count(1)


def suspects(numbers):
    """The images of a training whose label looks wrong, as the trainer lists them."""
    return [
        {
            "image": f"{number}.png",
            "sha256": f"{number:064x}",
            "label": "cat",
            "proposed": "dog",
            "label_probability": 0.03,
            "proposed_probability": 0.97,
            "split": "train",
        }
        for number in numbers
    ]


def test_labels_that_look_wrong_are_shown_a_part_at_a_time(result):
    """A dozen first: they are contradicted most clearly."""
    pages = {"0": (range(12), 12), "12": (range(12, 15), None)}

    def answer(route):
        after = dict(parse_qsl(urlsplit(route.request.url).query)).get("after", "0")
        numbers, following = pages[after]
        route.fulfill(json={"suspects": suspects(numbers), "after": following})

    found = SuspectCount(count=15, images=300, detail="By five regressions.")
    page = result(suspects=found, routes={"**/suspects?*": answer})
    card = page.locator("section.card", has=page.get_by_role("heading", name="Labels that look w"))

    expect(card).to_contain_text("The other images contradict the labels of 15 of 300 images")
    expect(card.locator("figure")).to_have_count(12)
    expect(card.locator("figure").first).to_contain_text("cat → dog 97.0")
    card.get_by_role("button", name="Show more").click()
    expect(card.locator("figure")).to_have_count(15)
    expect(card.get_by_role("button", name="Show more")).to_have_count(0)
    assert faint_texts(page) == []


def test_no_wrong_labels_are_told_without_asking_for_them(result):
    page = result(suspects=SuspectCount(count=0, images=300))
    expect(page.get_by_text("None of the 300 images.")).to_be_visible()


def test_an_evaluation_of_before_has_no_card_of_wrong_labels(result):
    expect(result().get_by_text("Labels that look wrong")).to_have_count(0)
