"""A thousand labels, and labels that would spoil the page, on a phone."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.processes.browser import faint_texts, watched_page
from tests.support.trainer.builders import make_read_dataset, new_record
from trainer_service.datasets.records import RejectedFile
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration

SECONDS = 20_000
PHONE = {"width": 375, "height": 667}
MANY = 1000
REJECTED = 10_000
#: Long without a place to break, from right to left, turning the direction, markup, escapes.
EVIL = {
    "long": "x" * 1000,
    "right to left": "חתול " * 20,
    "turning": "\u202egpj.tac",
    "emoji": "👩‍🔬🐈" * 30,
    "markup": "<img src=x onerror=document.title='evil'>",
    "escapes": "\x1b[31mred\x1b[0m\\n%2e%2e/",
}


def make(stores, labels, rejected=()):
    return make_read_dataset(stores.datasets, dict.fromkeys(labels, 1), rejected)


def succeed(stores, dataset, labels):
    """Return the id of a training that has ended, and its report."""
    record = new_record(dataset=dataset)
    per_class = {
        label: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1} for label in labels
    }
    test = {"accuracy": 0.5, "loss": 1.0, "images": len(labels), "per_class": per_class}
    last = len(labels) - 1
    matrix = [[int(column == last - row) for column in range(last + 1)] for row in range(last + 1)]
    answers = [
        {
            "image": f"{label}.png",
            "sha256": f"{row:064x}",
            "label": label,
            "predicted": labels[last - row],
            "probability": 0.5,
        }
        for row, label in enumerate(labels)
    ]

    def end(current):
        current.version = 1
        current.dataset.split = {"train": 1, "validation": 1, "test": len(labels)}
        current.metrics = {"test": test}
        current.enter(State.SUCCEEDED)

    stores.trainings.create(record)
    stores.trainings.update(record.id, end)
    metrics = {"test": {**test, "confusion_matrix": matrix}}
    report = {"labels": labels, "metrics": metrics, "test": answers, "history": []}
    return record.id, report


def test_a_thousand_labels_are_confused_in_a_list_and_not_in_a_million_cells(chromium, url, stores):
    labels = [f"label {number:03}" for number in range(MANY)]
    training, report = succeed(stores, make(stores, labels), labels)
    with watched_page(chromium, url, refusals=None) as page:
        page.route("**/report", lambda route: route.fulfill(json=report))
        page.goto(f"/#/trainings/{training}")
        card = page.locator("section.card", has=page.get_by_role("heading", name="Confusion"))
        expect(card).to_contain_text("The 100 most frequent confusions of 1,000", timeout=SECONDS)
        assert page.locator("button").count() < 200

        card.get_by_role("button", name="label 000 taken for label 999").press("Enter")
        shown = page.get_by_label("Images of the chosen cell")
        expect(shown.get_by_role("img")).to_have_count(1)
        pressed = card.locator("button[aria-pressed=true]")
        expect(pressed).to_have_attribute("aria-label", re.compile("label 000"))


def test_of_a_thousand_labels_only_those_in_sight_are_asked_for_images(chromium, url, stores):
    dataset = make(stores, [f"label {number:03}" for number in range(MANY)])
    asked = []
    with watched_page(chromium, url, refusals=None) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"/#/datasets/{dataset}")
        page.get_by_role("button", name="Show all 1000 labels").click(timeout=SECONDS)
        expect(page.locator(".label")).to_have_count(MANY, timeout=SECONDS)
        page.get_by_role("group", name="label 999").scroll_into_view_if_needed()
        with page.expect_response("**/images?label=label+999&**"):
            pass
    assert len([one for one in asked if "/images?" in one]) < 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_and_names_of_any_kind_fit_on_a_phone(chromium, url, stores, scheme):
    labels = list(EVIL.values())
    files = [
        RejectedFile(name=f"{name}/{name}.png", label="", verdict="link", detail=name)
        for name in labels
    ]
    dataset = make(stores, labels, files)
    training, report = succeed(stores, dataset, labels)
    options = {"viewport": PHONE, "color_scheme": scheme, "refusals": None}
    with watched_page(chromium, url, **options) as page:
        page.route("**/report", lambda route: route.fulfill(json=report))
        for address, said in (
            (f"/#/datasets/{dataset}", "Start training"),
            (f"/#/trainings/{training}?truth={labels[0]}&predicted={labels[-1]}", "Use it"),
            (f"/#/compare/{training},{training}", "Macro F1"),
            ("/#/trainings", "Succeeded"),
        ):
            page.goto(address)
            expect(page.get_by_text(said, exact=True).first).to_be_visible(timeout=SECONDS)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
            assert faint_texts(page) == []
            assert "evil" not in page.title()
            assert page.locator("img[src=x]").count() == 0


def test_ten_thousand_rejected_files_are_shown_page_by_page(chromium, url, stores):
    files = [
        RejectedFile(name=f"{number:05}.png", label="", verdict="link", detail="no")
        for number in range(REJECTED)
    ]
    dataset = make(stores, ["cat", "dog"], files)
    with watched_page(chromium, url, refusals=None) as page:
        page.goto(f"/#/datasets/{dataset}")
        page.get_by_text("10,000 files will not be used: 10000 link").click(timeout=SECONDS)
        more = page.get_by_role("button", name="Show 1000 more")
        more.dblclick()
        rows = page.locator("table.records tbody tr")
        expect(rows).to_have_count(1020, timeout=SECONDS)
        expect(page.get_by_role("row", name="01019.png")).to_have_count(1)
