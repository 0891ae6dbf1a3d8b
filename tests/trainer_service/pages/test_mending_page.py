"""Pictures are looked at and corrected in the page of a training, and it is trained again."""

import io
import re
from base64 import b64encode
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.processes.browser import faint_texts, watched_page
from tests.support.trainer.builders import make_read_dataset, new_record
from trainer_service.store.records.suspects import Suspect, save_suspects
from trainer_service.store.records.training_record import State, SuspectCount

pytestmark = pytest.mark.integration

LABELS = ["cat", "cow", "dog"]
PHONE = {"width": 360, "height": 740}
MANY = [f"label {number:02}" for number in range(40)]


def picture(number, side=120):
    """A picture unlike the others, as PNG."""
    noise = np.random.default_rng(number).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((side * 3 // 2, side), Image.Resampling.BICUBIC).save(
        buffer, "png"
    )
    return buffer.getvalue()


def answers(labels, number):
    """So many test images; all but each third are wrong, the first ones with most confidence."""
    return [
        {
            "image": f"{labels[place % len(labels)]}/{place}.png",
            "sha256": f"{place:064x}",
            "label": labels[place % len(labels)],
            "predicted": labels[(place + (place % 3 < 2)) % len(labels)],
            "probability": 0.99 - place / 100,
        }
        for place in range(number)
    ]


def make(stores, labels, rows, dataset=None, **fields):
    """Return a training that has ended, and its report."""
    dataset = dataset or make_read_dataset(stores.datasets, dict.fromkeys(labels, len(rows)))
    record = new_record(dataset=dataset, **fields)
    one = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
    test = {
        "accuracy": 0.5,
        "loss": 1.0,
        "images": len(rows),
        "per_class": dict.fromkeys(labels, one),
    }

    def end(current):
        current.version, current.metrics = 1, {"test": test}
        current.dataset.split = {"train": 9, "validation": 9, "test": len(rows)}
        current.enter(State.SUCCEEDED)

    stores.trainings.create(record)
    record = stores.trainings.update(record.id, end)
    matrix = [
        [sum((row["label"], row["predicted"]) == (a, b) for row in rows) for b in labels]
        for a in labels
    ]
    metrics = {"test": test | {"confusion_matrix": matrix}}
    return record, {"labels": labels, "metrics": metrics, "test": rows, "history": []}


@pytest.fixture
def opened(chromium, url, stores):
    """Return a function that opens the page of a training: `(page, record)`."""
    with ExitStack() as stack:

        def open_page(labels=LABELS, number=9, request=None, dataset=None, **options):
            rows = answers(labels, number)
            record, report = make(stores, labels, rows, dataset, **request or {})
            page = stack.enter_context(watched_page(chromium, url, **options))
            shown = re.compile("/images/([0-9a-f]{64})")
            page.route(
                shown,
                lambda route: route.fulfill(
                    body=picture(int(shown.search(route.request.url)[1], 16)),
                    content_type="image/png",
                ),
            )
            page.route("**/report", lambda route: route.fulfill(json=report))
            page.goto(f"/#/trainings/{record.id}")
            expect(page.get_by_role("heading", name="Use it")).to_be_visible()
            return page, record

        yield open_page


def mistakes(page):
    return page.locator("section.card", has_text="Most confident mistakes")


def view_of(page):
    return page.get_by_role("dialog")


def bar_of(page):
    return page.get_by_role("region", name="Corrections")


def test_a_mistake_is_seen_large_and_the_keys_lead_through_the_list(opened):
    page, _ = opened()
    mistakes(page).get_by_role("button").nth(1).click()
    view = view_of(page)

    expect(view.get_by_role("heading", name="cow/1.png")).to_be_focused()
    expect(view).to_contain_text("2 of 6")
    expect(view).to_contain_text("Its label is cow; it was taken for dog with 98.0\u00a0%.")
    large = view.get_by_role("img", name="cow/1.png")
    expect(large).to_have_js_property("naturalWidth", 180)
    assert large.bounding_box()["height"] > 300
    page.keyboard.press("ArrowRight")
    expect(view.get_by_role("heading", name="cat/3.png")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(view.get_by_role("heading", name="cat/0.png")).to_be_focused()
    expect(view.get_by_role("button", name="Previous picture")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(view).to_have_count(0)
    expect(mistakes(page).get_by_role("button").nth(0)).to_be_focused()


def test_keys_correct_one_picture_after_the_other_and_can_be_undone(opened):
    page, _ = opened()
    mistakes(page).get_by_role("button").first.click()
    view = view_of(page)
    page.keyboard.press("3")  # 0 is a dog
    expect(view.get_by_role("status")).to_have_text("cat/0.png: cat → dog.")
    expect(view.get_by_role("heading", name="cow/1.png")).to_be_visible()
    page.keyboard.press("Delete")  # 1 is nothing
    page.keyboard.press("1")  # 3 stays
    expect(view.get_by_role("status")).to_have_text("cat/3.png stays cat.")
    page.keyboard.press("0")  # 4 is nothing
    page.keyboard.press("u")
    expect(view.get_by_role("status")).to_have_text("Undone.")
    expect(view.get_by_role("heading", name="cow/4.png")).to_be_visible()
    expect(view.get_by_role("button", name="cow")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")

    expect(bar_of(page)).to_contain_text("2 corrections")
    figures = mistakes(page).locator("figure")
    expect(figures.nth(0)).to_contain_text("→ dog")
    expect(figures.nth(1)).to_contain_text("→ left out")
    expect(figures.nth(2)).not_to_contain_text("→")
    page.reload()
    expect(bar_of(page)).to_contain_text("2 corrections")
    expect(mistakes(page).locator("figure").nth(0)).to_contain_text("→ dog")
    page.once("dialog", lambda dialog: dialog.accept())
    bar_of(page).get_by_role("button", name="Discard").click()
    expect(bar_of(page)).to_be_hidden()
    expect(mistakes(page).locator("figure").nth(0)).not_to_contain_text("→")


def test_a_key_that_is_held_down_corrects_one_picture_only(opened):
    page, _ = opened()
    mistakes(page).get_by_role("button").first.click()
    page.keyboard.down("3")
    page.keyboard.down("3")
    page.keyboard.down("3")

    expect(view_of(page)).to_contain_text("2 of 6")


def test_the_images_of_a_cell_open_in_the_view_too(opened):
    page, _ = opened()
    page.get_by_role("button", name="images of cat taken for cow").click()
    shown = page.get_by_label("Images of the chosen cell")
    shown.get_by_role("button", name="cat/3.png").click()

    expect(view_of(page)).to_contain_text("2 of 3")


def test_suspects_open_in_the_view_and_more_of_them_are_asked_for(opened, stores):
    page, record = opened()
    suspects = [
        Suspect(
            image=f"cat/s{number}.png",
            sha256=f"{number + 50:064x}",
            label="cat",
            proposed="dog",
            label_probability=0.1,
            proposed_probability=0.8,
            split="train",
        )
        for number in range(14)
    ]
    save_suspects(stores.trainings.directory(record.id), suspects)
    found = SuspectCount(images=90, count=14, detail="They were looked for in folds.")

    stores.trainings.update(record.id, lambda current: setattr(current, "suspects", found))
    page.reload()
    card = page.locator("section.card", has_text="Labels that look wrong")
    expect(card).to_contain_text("contradict the labels of 14 of 90 images")
    expect(card.locator("figure")).to_have_count(12)
    card.get_by_role("button", name="Show more").click()
    expect(card.locator("figure")).to_have_count(14)
    card.get_by_role("button", name="cat/s12.png").click()

    expect(view_of(page)).to_contain_text("13 of 14")
    expect(view_of(page)).to_contain_text("by the other images it is dog, with 80.0\u00a0%.")
    page.keyboard.press("3")
    page.keyboard.press("Escape")
    expect(card.locator("figure").nth(12)).to_contain_text("cat → dog")
    expect(bar_of(page)).to_contain_text("1 correction")


def test_of_many_labels_the_right_one_is_found_by_its_letters(opened):
    page, _ = opened(MANY)
    mistakes(page).get_by_role("button").first.click()
    view = view_of(page)
    choices = view.get_by_role("group", name="The right label").get_by_role("button")
    expect(choices.first).to_have_text("1label 01")  # what it was taken for
    page.keyboard.press("/")
    field = view.get_by_role("searchbox", name="Find a label, or write a new one")
    expect(field).to_be_focused()
    page.keyboard.type("l 33")
    expect(choices).to_have_text(["1label 33", "New label: l 33", "0Leave it out"])
    page.keyboard.press("Enter")

    expect(view.get_by_role("status")).to_have_text("label 00/0.png: label 00 → label 33.")
    expect(field).to_have_value("")
    page.keyboard.press("/")
    page.keyboard.type("zz")
    expect(choices).to_have_text(["New label: zz", "0Leave it out"])
    page.keyboard.press("Escape")
    expect(field).to_have_value("")
    expect(view).to_be_visible()


def test_a_picture_can_get_a_label_that_is_new(opened):
    """And then another one gets it by a key."""
    page, _ = opened()
    mistakes(page).get_by_role("button").first.click()
    view = view_of(page)
    choices = view.get_by_role("group", name="The right label").get_by_role("button")
    before = len(LABELS)
    page.keyboard.press("/")
    page.keyboard.type(" barn  owl")
    expect(view).to_contain_text("A new label needs at least three pictures")
    page.keyboard.press("Enter")

    expect(view.get_by_role("status")).to_contain_text("→ barn owl.")
    expect(choices).to_have_count(before + 2)
    expect(choices.nth(before)).to_have_text(f"{before + 1}barn owl")
    page.keyboard.press(str(before + 1))
    page.keyboard.press("Escape")
    expect(bar_of(page)).to_contain_text("2 corrections")
    expect(mistakes(page).get_by_text("→ barn owl")).to_have_count(2)


def test_corrections_are_sent_and_trained_on_with_the_same_settings(opened, stores):
    page, record = opened(request={"seed": 7, "class_weights": "balanced"}, refusals=1)
    child = make_read_dataset(stores.datasets, dict.fromkeys(LABELS, 3))
    sent = []

    def correct(route):
        sent.append(route.request.post_data_json)
        route.fulfill(status=201, json={"id": child})

    page.route(f"**/v1/datasets/{record.dataset.id}/corrections", correct)
    again = new_record(dataset=child)
    stores.trainings.create(again)
    asked = []

    def train(route):
        if route.request.method != "POST":
            return route.fallback()
        asked.append(route.request.post_data_json)
        if len(asked) == 1:
            return route.fulfill(status=409, json={"detail": "It is being read.", "errors": []})
        return route.fulfill(status=202, json={"id": again.id})

    page.route("**/v1/trainings", train)
    mistakes(page).get_by_role("button").first.click()
    page.keyboard.press("3")
    page.keyboard.press("0")
    page.keyboard.press("Escape")
    start = bar_of(page).get_by_role("button", name="Train again")
    start.click()
    expect(bar_of(page).get_by_role("alert")).to_have_text("It is being read.")
    start.click()

    page.wait_for_url(f"**/#/trainings/{again.id}")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    assert sent == [{f"{0:064x}": "dog", f"{1:064x}": None}]
    wanted = {"dataset": child, "seed": 7, "class_weights": "balanced", "model": "pets"}
    assert wanted.items() <= asked[-1].items()
    page.go_back()
    expect(mistakes(page)).to_be_visible()
    expect(bar_of(page)).to_be_hidden()


def test_a_dataset_that_was_made_of_another_one_is_trained_on_with_the_same_settings(
    chromium, url, stores
):
    before, _ = make(stores, LABELS, answers(LABELS, 9), seed=7)
    first = before.dataset.id
    labels = dict.fromkeys(LABELS, 3)
    line = {"parent": first, "root": first, "corrected": 1, "added": 2}
    child = make_read_dataset(stores.datasets, labels, **line)
    again = new_record(dataset=child)
    stores.trainings.create(again)
    asked = []

    def train(route):
        if route.request.method != "POST":
            return route.fallback()
        asked.append(route.request.post_data_json)
        return route.fulfill(status=202, json={"id": again.id})

    with watched_page(chromium, url, refusals=None) as page:  # no image is there
        page.route("**/v1/trainings", train)
        page.goto(f"/#/datasets/{child}")
        expect(
            page.get_by_text("made of another dataset: 1 image corrected, 2 images added.")
        ).to_be_visible()
        page.get_by_role("button", name="Train pets again").click()
        page.wait_for_url(f"**/#/trainings/{again.id}")
        page.goto(f"/#/datasets/{first}")
        expect(page.get_by_role("button", name="Start training")).to_be_visible()
        expect(page.get_by_role("button", name="Train pets again")).to_have_count(0)
    assert [(body["dataset"], body["seed"]) for body in asked] == [(child, 7)]


def compared(place, row, old):
    given = {name: row[name] for name in ("predicted", "probability")}
    return {
        "sha256": row["sha256"],
        "name": row["image"],
        "label": row["label"],
        "label_before": "cow" if place == 0 else row["label"],
        "old": {"predicted": old, "probability": 0.6},
        "new": given,
    }


def test_what_has_changed_since_the_training_before_is_shown_picture_by_picture(opened, stores):
    first, _ = make(stores, LABELS, answers(LABELS, 9))
    dataset = stores.datasets.get(first.dataset.id)
    page, record = opened(dataset=dataset.id, refusals=None)
    rows = answers(LABELS, 9)
    lists = {
        "fixed": [compared(place, row, "cow") for place, row in enumerate(rows[2:3])],
        "broken": [compared(1, row, row["label"]) for row in rows[:1]],
    }
    asked = []

    def answer(route):
        query = parse_qs(urlsplit(route.request.url).query)
        asked.append(query["with"])
        comparison = {
            "old": {"accuracy": 0.5},
            "new": {"accuracy": 0.75},
            "common": 8,
            "only_old": 1,
            "only_new": 0,
            "fixed": 1,
            "broken": 1,
            "both_wrong": 2,
            "images": lists[query["outcome"][0]],
        }
        route.fulfill(json=comparison)

    page.route(f"**/v1/trainings/{record.id}/compare?*", answer)
    for address in (f"/#/trainings/{record.id}", f"/#/compare/{record.id},{first.id}"):
        page.goto("/#/nothing")
        page.goto(address)
        card = page.locator("section.card", has_text="What has changed since")
        expect(card).to_contain_text(
            "50.0\u00a0% → 75.0\u00a0% of the 8 test images that both have"
        )
        expect(card).to_contain_text("1 test image of before is not among them.")
        expect(card.get_by_role("heading", name="Fixed: 1")).to_be_visible()
        expect(card.get_by_role("link", name="pets, version 1")).to_be_visible()
        expect(card.locator("figure").nth(0)).to_contain_text("✓ cow → dog")
        expect(card.locator("figure").nth(1)).to_contain_text("✗ cat → cowis cat")
        card.get_by_role("button", name="dog/2.png").click()
        expect(view_of(page)).to_contain_text("Its label is dog, before cow. It was taken for cow")
        page.keyboard.press("1")
        page.keyboard.press("Escape")
        expect(bar_of(page)).to_contain_text("1 correction")
    assert set(map(tuple, asked)) == {(first.id,)}


def test_the_first_training_on_its_images_has_nothing_to_be_compared_with(opened, stores):
    make(stores, LABELS, answers(LABELS, 9))  # on others
    page, _ = opened()

    with page.expect_response("**/v1/trainings"):
        page.reload()
    expect(mistakes(page)).to_be_visible()
    expect(page.get_by_text("What has changed")).to_have_count(0)


class Predictor:
    """Answers the page instead of a predictor, and notes which pictures it has got."""

    NEAREST = "b" * 64

    def __init__(self, page, dataset, version=1, key=None):
        self.pictures = []
        self._dataset, self._version, self._key = dataset, version, key
        image = {"name": "cow/near.png", "label": "cow", "sha256": self.NEAREST}
        page.route(
            f"**/v1/datasets/{dataset}/images?*",
            lambda route: route.fulfill(json={"images": [image], "after": None}),
        )
        page.route("http://127.0.0.1:8001/**", self._answer)

    def _answer(self, route):
        cors = {"Access-Control-Allow-Origin": "*"}
        request = route.request
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            problem = {"detail": "This API key is not valid."}
            return route.fulfill(status=401, json=problem, headers=cors)
        if request.method == "GET":
            served = {"dataset": self._dataset, "heatmaps": True}
            return route.fulfill(json=served, headers=cors)
        self.pictures.append(request.post_data_buffer)
        answer = {
            "version": self._version,
            "label": "cow",
            "probability": 0.75,
            "unknown": True,
            "nearest": [{"image": self.NEAREST, "distance": 0.125}],
            "heat": {"label": "cow", "png": b64encode(picture(99, 32)).decode()},
        }
        assert "explain=top" in request.url
        return route.fulfill(json={"predictions": [answer]}, headers=cors)


def test_the_predictor_is_asked_on_demand_and_then_for_each_picture(opened):
    page, record = opened()
    predictor = Predictor(page, record.dataset.id)
    mistakes(page).get_by_role("button").first.click()
    view = view_of(page)
    expect(view.get_by_role("button", name="Ask the predictor")).to_be_visible()
    assert predictor.pictures == []
    view.get_by_role("button", name="Ask the predictor").click()

    expect(view).to_contain_text("By version 1: cow 75.0\u00a0%.")
    expect(view).to_contain_text("It is unlike all training images.")
    heat = view.get_by_role("img", name="Where it looked")
    seen = view.get_by_role("img", name="cat/0.png")
    expect(heat).to_have_js_property("naturalWidth", 48)
    assert heat.bounding_box() == seen.bounding_box()
    assert seen.bounding_box()["width"] / seen.bounding_box()["height"] == pytest.approx(1.5, 0.01)
    page.keyboard.press("h")
    expect(heat).to_have_count(0)
    near = view.locator("figure", has_text="cow distance 0.13")
    expect(near.get_by_role("img", name="cow/near.png")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(view.get_by_role("heading", name="cow/1.png")).to_be_visible()
    expect(view).to_contain_text("By version 1: cow")
    expect(heat).to_have_count(0)
    page.keyboard.press("h")
    expect(heat).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(view).to_contain_text("By version 1: cow")
    assert predictor.pictures == [picture(0), picture(1)]  # each once


def test_another_version_that_is_served_is_told_and_its_images_are_shown(opened):
    page, _ = opened()
    Predictor(page, "20260101-000000-aaaaaa", version=3)
    mistakes(page).get_by_role("button").first.click()
    view_of(page).get_by_role("button", name="Ask the predictor").click()

    expect(view_of(page)).to_contain_text("By version 3, which is served instead of version 1: cow")
    expect(view_of(page).locator("figure")).to_have_count(1)


def test_the_predictors_key_is_asked_for_once(opened):
    page, record = opened(refusals=None)
    Predictor(page, record.dataset.id, key="key-of-the-predictor")
    mistakes(page).get_by_role("button").first.click()
    page.get_by_role("button", name="Ask the predictor").click()
    page.get_by_label("Key", exact=True).fill("key-of-the-predictor")
    page.get_by_role("button", name="Use it").click()

    view = page.get_by_role("dialog", name="cat/0.png")
    expect(view).to_contain_text("By version 1: cow")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("dialog", name="cow/1.png")).to_contain_text("By version 1: cow")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 800}])
def test_the_view_fits_the_screen_and_can_be_read(opened, viewport, scheme):
    page, _ = opened(MANY[:14], viewport=viewport, color_scheme=scheme)
    mistakes(page).get_by_role("button").first.click()
    view = view_of(page)
    view.get_by_role("button", name="Leave it out").click()
    expect(view).to_contain_text("2 of 6")

    box = view.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= viewport["width"]
    assert box["y"] + box["height"] <= viewport["height"]
    assert view.evaluate("view => view.scrollWidth <= view.clientWidth")
    assert faint_texts(page) == []
    for button in view.get_by_role("button").all():
        assert button.bounding_box()["height"] >= 40
