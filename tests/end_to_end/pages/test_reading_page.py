"""How a dataset was read, as the page tells it and lets it be changed, with real processes."""

import pytest
from playwright.sync_api import expect

from tests.end_to_end.stack import digits, zipped
from tests.support.processes.browser import faint_texts, watched_page

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EVIL = "<img src=x onerror=document.title='evil'>"
SECONDS = 15_000
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def archive(directory):
    """Pictures as a camera names them, in two folders, and a table that says nothing of them."""
    names = [
        f"{folder}/{camera} {number}.png"
        for folder in ("images", "data")
        for camera in ("IMG", "DSC")
        for number in range(6)
    ]
    pictures = dict(zip(names, digits(directory, "01", 12).values(), strict=True))
    table = f"name,{EVIL}\nelsewhere.png,1\nnowhere.png,2\n".encode()
    return zipped({**pictures, f"{EVIL}.csv": table})


@pytest.fixture
def dataset(stack, archive):
    """Return the id of the dataset, which the reader doubts."""
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("camera.zip", archive)})
    return answer.json()["id"]


@pytest.fixture
def page(chromium, stack):
    with watched_page(chromium, str(stack.trainer.base_url), refusals=None) as opened:
        yield opened
        assert "evil" not in opened.title()


def test_a_doubtful_reading_is_confirmed_and_only_then_trained_on(page, stack, dataset):
    page.goto(f"/#/datasets/{dataset}")
    doubt = page.get_by_role("region", name="Is this right?")
    expect(doubt).to_contain_text("as cameras call any image", timeout=SECONDS)
    expect(page.get_by_role("button", name="Start training")).to_be_hidden()
    expect(page.get_by_text(f"{EVIL}.csv: none of its columns")).to_be_visible()

    doubt.get_by_role("button", name="Use it as it is").click()

    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SECONDS)
    expect(doubt).to_have_count(0)
    assert stack.trainer.get(f"/v1/datasets/{dataset}").json()["reading"]["confirm"]


def test_another_reading_is_one_click(page, dataset):
    page.goto(f"/#/datasets/{dataset}")
    other = page.get_by_role("listitem").filter(has_text="2 labels, 24 images")
    other.get_by_role("button", name="Read it this way").click(timeout=SECONDS)

    expect(page.get_by_role("heading", name="images", exact=True)).to_be_visible(timeout=SECONDS)
    expect(page.get_by_role("heading", name="data", exact=True)).to_be_visible()


def test_labels_are_renamed_and_merged_and_a_mistake_is_taken_back(page, stack, dataset):
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_role("button", name="Rename IMG").click(timeout=SECONDS)
    page.get_by_label("New name of IMG").fill(EVIL)
    page.get_by_role("button", name="Use the new names").click()
    expect(page.get_by_role("heading", name=EVIL, exact=True)).to_be_visible(timeout=SECONDS)

    page.get_by_role("button", name="Rename DSC").click()
    page.get_by_label("New name of DSC").fill(EVIL)
    page.get_by_label("New name of DSC").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("at least two labels", timeout=SECONDS)
    expect(page.get_by_role("heading", name="DSC", exact=True)).to_be_visible()
    page.get_by_role("button", name="Forget my choices").click()

    expect(page.get_by_role("heading", name="IMG", exact=True)).to_be_visible(timeout=SECONDS)
    assert stack.trainer.get(f"/v1/datasets/{dataset}").json()["reading"]["rename"] == {}


def test_the_form_reads_by_folders_and_tells_what_is_wrong_with_it(page, stack, dataset):
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_text("Read it in another way", exact=True).click(timeout=SECONDS)
    expect(page.get_by_label("Which folder of an image is its label")).to_be_hidden()
    form = page.locator("form", has=page.get_by_label("Where the labels are"))
    page.get_by_label("Folders and files to leave out").fill("x" * 2000)
    form.get_by_role("button", name="Read it this way").click()
    expect(form.get_by_role("alert")).to_be_visible()
    expect(form).to_contain_text("1024")

    page.get_by_label("Folders and files to leave out").fill(f"{EVIL}.csv")
    page.get_by_label("Where the labels are").select_option("Names of folders")
    page.get_by_label("Which folder of an image is its label").select_option("The first")
    form.get_by_role("button", name="Read it this way").click()

    expect(page.get_by_role("heading", name="data", exact=True)).to_be_visible(timeout=SECONDS)
    reading = stack.trainer.get(f"/v1/datasets/{dataset}").json()["reading"]
    assert (reading["labels"], reading["level"]) == ("folders", 1)
    assert reading["ignore"] == [f"{EVIL}.csv"]


def test_a_reading_that_does_not_fit_is_told_and_can_be_corrected(page, stack, directory):
    names = [f"{room}/{a}/{n}.png" for room in "xy" for a in ("cat", "dog") for n in "123"]
    pictures = zipped(dict(zip(names, digits(directory, "67", 6).values(), strict=True)))
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("rooms.zip", pictures)})
    page.goto(f"/#/datasets/{answer.json()['id']}")
    page.get_by_text("Read it in another way", exact=True).click(timeout=SECONDS)
    page.get_by_label("Where the labels are").select_option("Names of folders")
    page.get_by_label("Which folder of an image is its label").select_option("The fourth")
    page.get_by_role("button", name="Read it this way").last.click()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("no image lies in so many folders", timeout=SECONDS)
    expect(page.get_by_text("the reading before, which stays")).to_be_visible()
    expect(page.get_by_role("heading", name="cat", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_be_visible()

    level = page.get_by_label("Which folder of an image is its label")
    expect(level).to_have_value("4")
    level.select_option("The first")
    page.get_by_role("button", name="Read it this way").last.click()

    expect(page.get_by_role("heading", name="x", exact=True)).to_be_visible(timeout=SECONDS)
    expect(alert).to_have_count(0)


def test_folders_are_made_parts_of_the_split_and_one_is_left_out(page, stack, directory):
    names = [
        f"{f}/{a}/{n}.png" for f in ("day", "night", "old") for a in ("cat", "dog") for n in "12"
    ]
    pictures = zipped(dict(zip(names, digits(directory, "45", 6).values(), strict=True)))
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("days.zip", pictures)})
    url = f"/v1/datasets/{answer.json()['id']}"
    page.goto(f"/#/datasets/{answer.json()['id']}")
    page.get_by_text("Read it in another way", exact=True).click(timeout=SECONDS)
    page.get_by_text("Which folders are for training").click()
    for number, (name, part) in enumerate(
        [("day", "Training"), ("night", "Test"), ("old", "Left out")], start=1
    ):
        page.get_by_label(f"Folder or value {number}").fill(name)
        page.get_by_label(f"Part of the split {number}").select_option(part)
    page.get_by_role("button", name="Read it this way").last.click()

    how = page.get_by_role("region", name="How it was read")
    expect(how).to_contain_text("day is for training, night is for test", timeout=SECONDS)
    record = stack.trainer.get(url).json()
    assert record["reading"]["splits"] == {"day": "train", "night": "test", "old": "none"}
    assert record["labels"] == {"cat": 4, "dog": 4}

    page.get_by_text("Read it in another way", exact=True).click()
    expect(page.get_by_label("Folder or value 3")).to_have_value("old")
    page.get_by_label("Part of the split 2").select_option("Validation")
    page.get_by_label("Part of the split 3").select_option("Training")
    page.get_by_role("button", name="Read it this way").last.click()

    expect(how).to_contain_text("night is for validation", timeout=SECONDS)
    splits = stack.trainer.get(url).json()["reading"]["splits"]
    assert splits == {"day": "train", "night": "validation", "old": "train"}


def test_a_training_that_failed_by_doubt_leads_to_where_it_is_confirmed(page, stack, archive):
    failed = stack.ended(stack.submit(archive, architecture="efficientnet_lite0"))
    page.goto(f"/#/trainings/{failed['id']}")
    expect(page.get_by_role("alert")).to_contain_text("as cameras call any image")
    expect(page.get_by_role("alert")).not_to_contain_text("PUT")
    page.get_by_role("link", name="Check how the images were read").click()

    page.get_by_role("button", name="Use it as it is").click(timeout=SECONDS)
    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SECONDS)


def test_a_first_reading_that_fails_is_mended_without_the_images(page, stack, directory):
    names = [
        f"{folder}/{n}.png" for folder in ("train/a", "train/b", "test/a", "rest") for n in "12"
    ]
    pictures = zipped(dict(zip(names, digits(directory, "23", 4).values(), strict=True)))
    answer = stack.trainer.post("/v1/datasets", files={"archive": ("strays.zip", pictures)})
    page.goto(f"/#/datasets/{answer.json()['id']}")
    expect(page.get_by_role("alert")).to_contain_text("leave them out", timeout=SECONDS)

    page.get_by_text("Read it in another way", exact=True).click()
    page.get_by_label("Folders and files to leave out").fill("rest")
    page.get_by_role("button", name="Read it this way").click()

    expect(page.get_by_role("button", name="Start training")).to_be_visible(timeout=SECONDS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_doubt_can_be_read_on_a_phone(page, dataset, scheme):
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/#/datasets/{dataset}")
    expect(page.get_by_role("button", name="Use it as it is")).to_be_visible(timeout=SECONDS)
    page.get_by_text("Read it in another way", exact=True).click()
    page.get_by_text("Which folders are for training").click()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert faint_texts(page) == []
