"""The trainer's page in a real browser, with every process behind it real."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.end_to_end.stack import digits, zipped
from tests.support.processes.browser import drop_from_disk, faint_texts, watched_page

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
EVIL = "<img src=x onerror=document.title='evil'>"
SECONDS = 90_000
#: How many requests each view takes to be complete.
REQUESTS = {"start": 2, "dataset": 7, "training": 5, "trainings": 1, "models": 1, "compare": 7}


@pytest.fixture
def open_page(chromium, stack):
    """Return a function that opens the page at a hash; the console is checked when it closes."""

    def opened(**options):
        return watched_page(chromium, str(stack.trainer.base_url), **options)

    return opened


@pytest.fixture(scope="module")
def archive(directory):
    """Three labels, one of them a trap, and a broken file, as a zip."""
    pictures = digits(directory, "012", 40)
    label = {"0": "zero", "1": "one", "2": EVIL}
    tree = {f"{label[name[0]]}/{name}": data for name, data in pictures.items()}
    tree["zero/broken.png"] = b"\x89PNG\r\n\x1a\nno"
    file = directory / "figures.zip"
    file.write_bytes(zipped(tree))
    return file


@pytest.fixture(scope="module")
def trained(chromium, stack, archive):
    """The story from an archive to a result, told by clicks; returns the training's record."""
    with watched_page(chromium, str(stack.trainer.base_url)) as page:
        page.goto("/")
        page.set_input_files("#archive", archive)
        expect(page.get_by_role("heading", name="Images: figures.zip")).to_be_visible()
        zero = page.get_by_role("group", name="zero")
        expect(zero).to_contain_text("40", timeout=SECONDS)
        expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
        expect(zero.get_by_role("img")).to_have_count(6)
        for thumbnail in zero.get_by_role("img").all():
            expect(thumbnail).to_have_js_property("naturalWidth", 8)
            expect(thumbnail).to_have_attribute("src", re.compile("/thumbnail$"))
        rejected = page.get_by_role("row", name="zero/broken.png")
        expect(rejected).to_contain_text("truncated")

        assert page.get_by_label("Model name").input_value() == "figures"
        page.get_by_role("radio", name=ARCHITECTURE).check()
        page.get_by_text("Not available here").click()
        expect(page.get_by_role("radio", name="vgg16")).to_be_disabled()
        page.get_by_text("Other settings").click()
        page.get_by_label("Epochs").fill("12")
        page.get_by_role("button", name="Start training").click()

        page.wait_for_url("**/#/trainings/*")
        expect(page.locator(".phases .current, .phases .done")).not_to_have_count(0)
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        expect(page.locator("figure.curves path.series-1").first).to_have_attribute(
            "d", re.compile(r"M.+"), timeout=SECONDS
        )
        expect(page.get_by_role("heading", name="Confusion")).to_be_visible(timeout=SECONDS)
        assert page.title() == "figures · Headstart"
        training_id = page.url.rpartition("/")[2]
    record = stack.trainer.get(f"/v1/trainings/{training_id}").json()
    assert record["request"]["epochs"] == 12
    return record


@pytest.fixture(scope="module")
def again(stack, trained):
    """Another training on the same pictures, with another head."""
    return stack.train(
        model="figures", architecture=ARCHITECTURE, dataset=trained["dataset"]["id"], epochs=5
    )


def test_the_result_is_told(open_page, trained):
    with open_page() as page:
        page.goto(f"/#/trainings/{trained['id']}")
        expect(page.locator(".headline")).to_contain_text("with 95 % confidence")
        for heading in ("Labels", "Most confident mistakes", "Test images at random", "Use it"):
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        calibration = page.locator("section.card", has_text="Can its probabilities be trusted?")
        expect(calibration).to_contain_text(trained["metrics"]["test"]["calibration_detail"])
        expect(calibration.get_by_role("img").locator("circle").first).to_be_visible()
        random = page.locator("section", has_text="Test images at random")
        assert random.get_by_role("img").count() == min(10, trained["dataset"]["split"]["test"])
        row = page.get_by_role("row", name=EVIL).last
        recall = trained["metrics"]["test"]["per_class"][EVIL]["recall"]
        expect(row).to_contain_text(f"{recall:.1%}".replace("%", "\u00a0%"))
        assert page.title() == "figures · Headstart"


def test_the_mistakes_are_the_most_confident_ones(open_page, stack, trained):
    report = stack.trainer.get(f"/v1/trainings/{trained['id']}/report").json()
    wrong = [row for row in report["test"] if row["label"] != row["predicted"]]
    wrong.sort(key=lambda row: -row["probability"])
    with open_page() as page:
        page.goto(f"/#/trainings/{trained['id']}")
        card = page.locator("section.card", has_text="Most confident mistakes")
        expect(card).to_be_visible()
        captions = card.locator("figcaption").all_inner_texts()

    for caption, row in zip(captions, wrong[:12], strict=True):
        assert row["predicted"] in caption
        assert f"is {row['label']}" in caption


def test_a_cell_of_the_confusion_matrix_is_chosen_by_keyboard_and_kept_in_the_address(
    open_page, stack, trained
):
    report = stack.trainer.get(f"/v1/trainings/{trained['id']}/report").json()
    label = report["labels"][1]
    expected = [row for row in report["test"] if row["label"] == row["predicted"] == label]
    with open_page() as page:
        page.goto(f"/#/trainings/{trained['id']}")
        page.locator(".cell[tabindex='0']").focus()
        for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowDown", "Enter"):
            page.keyboard.press(key)
        shown = page.get_by_label("Images of the chosen cell")
        expect(shown.get_by_role("img")).to_have_count(len(expected))
        expect(shown.locator("figcaption").first).to_contain_text("%")
        assert "truth=" in page.url

        page.reload()
        expect(shown.get_by_role("img")).to_have_count(len(expected))
        page.get_by_role("link", name="Close").click()
        expect(shown).to_be_hidden()
        page.go_back()
        expect(shown).to_be_visible()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_line_that_calls_the_model_works(open_page, stack, trained):
    stack.served("figures", trained["version"])
    with open_page() as page:
        page.goto(f"/#/trainings/{trained['id']}")
        line = page.locator("pre[data-line=test]").inner_text()
    answer = subprocess.run(["bash", "-c", line], capture_output=True, check=True)

    [prediction] = json.loads(answer.stdout)["predictions"]
    assert prediction["label"] in trained["dataset"]["labels"]


def test_the_report_is_linked(open_page, stack, trained):
    with open_page() as page:
        page.goto(f"/#/trainings/{trained['id']}")
        address = page.get_by_role("link", name="Report").get_attribute("href")
        assert page.request.get(f"/{address}").ok


def test_what_was_reused_is_told_and_trainings_are_compared(open_page, trained, again):
    with open_page() as page:
        page.goto(f"/#/trainings/{again['id']}")
        expect(page.get_by_text("reused for 120 images")).to_be_visible()
        page.get_by_role("link", name="Trainings").click()
        for record in (again, trained):
            page.locator(f"tr[data-id='{record['id']}']").get_by_role("checkbox").check()
        page.get_by_role("button", name="Compare 2").click()

        expect(page.get_by_role("heading", name="Compare 2 trainings")).to_be_visible()
        lines = page.locator("figure.curves").first.locator(".chart path.line")
        expect(lines).to_have_count(2)
        expect(page.get_by_role("row", name="Epochs").last).to_contain_text("12")


def test_versions_stand_side_by_side_and_are_pinned_and_unpinned(open_page, stack, trained, again):
    with open_page() as page:
        page.goto("/#/models")
        card = page.get_by_role("region", name="Model figures")
        expect(card.get_by_role("row")).to_have_count(3)
        card.get_by_role("button", name="Pin version 1").press("Enter")
        expect(card.get_by_text("stays with version 1")).to_be_visible()
        assert stack.trainer.get("/v1/models/figures").json()["pinned"] == 1
        stack.served("figures", 1)
        card.get_by_role("button", name="Un-pin version 1").click()
        expect(card.get_by_text("Version 2 is to be served.")).to_be_visible()
        assert stack.trainer.get("/v1/models/figures").json()["pinned"] is None


@pytest.fixture(scope="module")
def folder(directory):
    """A folder of two labels, deep inside of it and more than a browser lists at once."""
    root = directory / "numerals"
    for name, data in digits(directory, "34", 110).items():
        file = root / "deep" / f"label {name[0]}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (root / "notes.txt").write_text("not a picture")
    return root


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_folder_is_uploaded_with_its_paths(open_page, stack, folder, way):
    with open_page() as page:
        page.goto("/")
        if way == "chosen":
            page.set_input_files("#folder", folder)
        else:
            drop_from_disk(page, ".drop", folder)
        expect(page.get_by_role("heading", name="Images: numerals")).to_be_visible()
        expect(page.get_by_role("group", name="label 4")).to_contain_text("110")
        expect(page.get_by_text("1 file that is not an image was ignored")).to_be_visible()
        dataset_id = page.url.rpartition("/")[2]
    dataset = stack.trainer.get(f"/v1/datasets/{dataset_id}").json()
    assert dataset["labels"] == {"label 3": 110, "label 4": 110}
    [image] = stack.trainer.get(f"/v1/datasets/{dataset_id}/images?limit=1").json()["images"]
    assert image["name"].startswith("numerals/deep/label 3/3.")


def test_an_archive_is_dropped(open_page, archive):
    with open_page() as page:
        page.goto("/")
        drop_from_disk(page, ".drop", archive)
        expect(page.get_by_role("heading", name="Images: figures.zip")).to_be_visible()
        expect(page.get_by_role("group", name="zero")).to_contain_text("40")


def test_a_file_that_is_no_archive_is_refused_in_words(open_page, directory):
    file = directory / "letter.zip"
    file.write_text("Dear all,")
    with open_page() as page:
        page.goto("/")
        page.set_input_files("#archive", file)
        expect(page.get_by_role("alert")).to_contain_text(
            "Expected a zip, tar or tar.gz archive, or a folder. Received: 'letter.zip'"
        )


def test_a_wrong_setting_is_refused_in_words_where_it_stands(open_page, trained):
    with open_page(refusals=2) as page:
        page.goto(f"/#/datasets/{trained['dataset']['id']}")
        page.get_by_role("radio", name=ARCHITECTURE).check()
        page.get_by_text("Other settings").click()
        epochs, patience = page.get_by_label("Epochs"), page.get_by_label("Patience")
        epochs.fill("many")
        page.get_by_role("button", name="Start training").click()
        expect(epochs).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#setting-epochs-fault")).to_contain_text("Received: 'many'")
        epochs.fill("3")
        patience.fill("0")
        page.get_by_role("button", name="Start training").click()
        expect(patience).to_have_attribute("aria-invalid", "true")
        expect(epochs).to_have_attribute("aria-invalid", "false")


def test_an_unknown_training_is_not_found_in_words(open_page):
    with open_page(refusals=1) as page:
        page.goto("/#/trainings/20260101-000000-aaaaaa")
        expect(page.get_by_role("alert")).to_contain_text("There is no training")


def test_a_training_is_cancelled(open_page, stack, directory):
    file = directory / "many.zip"
    file.write_bytes(zipped(digits(directory, "3456789", 170)))
    with open_page() as page:
        page.goto("/")
        page.set_input_files("#archive", file)
        page.get_by_role("radio", name=ARCHITECTURE).check(timeout=SECONDS)
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_text(re.compile(r"of [\d,]+ images · [\d.]+ images/s"))).to_be_visible(
            timeout=SECONDS
        )
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".state")).to_have_text("Cancelled", timeout=SECONDS)
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        page.reload()
        expect(page.locator(".state")).to_have_text("Cancelled")
        expect(page.locator(".phases .stopped")).to_have_count(1)
        expect(page.get_by_role("heading", name="Confusion")).to_have_count(0)


def test_the_page_goes_on_after_an_answer_that_is_no_stream_and_stops_the_training(
    open_page, stack, trained
):
    """A browser gives up on such an answer, as of a proxy whose trainer restarts."""
    endless = {"epochs": 10_000, "early_stopping": "off"}
    record = stack.submit(
        model="resumed", architecture=ARCHITECTURE, dataset=trained["dataset"]["id"], **endless
    )
    with open_page(refusals=1) as page:
        page.route("**/events?*", lambda route: route.fulfill(status=408), times=1)
        page.goto(f"/#/trainings/{record['id']}")
        expect(page.get_by_text("The trainer does not answer")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_role("heading", name="Curves")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_text("The trainer does not answer")).to_be_hidden()
        page.get_by_role("button", name="Stop and publish").click()
        expect(page.get_by_role("heading", name="Confusion")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert stack.ended(record)["version"] == 1


def test_a_training_is_started_and_cancelled_by_keyboard_alone(open_page, trained):
    """From pictures that the trainer has to a training that ends, by Tab, Enter and Space."""
    with open_page() as page:
        page.goto("/")
        expect(page.get_by_role("link", name="figures.zip").first).to_be_visible()
        press(page, page.get_by_role("link", name="figures.zip").first, "Enter")
        expect(page.get_by_role("button", name="Start training")).to_be_visible()
        choice = page.locator("label.choice", has_text=ARCHITECTURE)
        expect(choice).to_contain_text("images/s here so far")
        expect(choice).to_contain_text("3.4 M parameters · 0.4 G multiply-adds")
        press(page, page.get_by_text("Other settings"), "Enter")
        tab_to(page, page.get_by_label("Epochs"))
        page.keyboard.type("10000")
        press(page, page.get_by_label("On", exact=True), "Space")
        press(page, page.get_by_role("button", name="Start training"), "Enter")
        expect(page.locator(".state")).to_have_text("Head", timeout=SECONDS)
        press(page, page.get_by_role("button", name="Cancel"), "Enter")
        expect(page.locator(".state")).to_have_text("Cancelled", timeout=SECONDS)


def press(page, target, key):
    """Reach something by the tab key, where it must be seen to have the focus, and press a key."""
    tab_to(page, target)
    assert target.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press(key)


def tab_to(page, target):
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{target} can't be reached by the tab key")


def test_the_keyboard_leads_to_everything_on_the_first_page(open_page):
    with open_page() as page:
        page.goto("/")
        expect(page.get_by_role("heading", name="Images already there")).to_be_visible()
        reached = []
        for _ in range(8):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.textContent.trim()"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", reached
        assert reached == [
            "Skip to the content",
            "Headstart",
            "New training",
            "Trainings",
            "Comparisons",
            "Models",
            "Choose an archive",
            "Choose a folder",
        ]


@pytest.fixture(scope="module")
def mended(stack, trained):
    """A training of another model on the same pictures, served."""
    record = stack.train(
        model="mended", architecture=ARCHITECTURE, dataset=trained["dataset"]["id"]
    )
    stack.served("mended", record["version"])
    return record


def test_a_picture_is_asked_about_and_left_out_and_what_that_changes_is_shown(
    open_page, stack, mended
):
    with open_page() as page:
        page.goto(f"/#/trainings/{mended['id']}")
        card = page.locator("section.card", has_text="Test images at random")
        card.get_by_role("button").get_by_role("img").first.click()
        view = page.get_by_role("dialog")
        expect(view.get_by_role("img").first).to_have_js_property("naturalWidth", 8)
        view.get_by_role("button", name="Ask the predictor").click()
        expect(view).to_contain_text("By version 1:")
        heat = view.get_by_role("img", name="Where it looked")
        expect(heat).to_have_js_property("naturalWidth", 224)
        expect(view.locator("figure")).to_have_count(3)
        for near in view.locator("figure img").all():
            expect(near).to_have_js_property("naturalWidth", 8)
        page.keyboard.press("0")
        page.keyboard.press("Escape")
        page.get_by_role("region", name="Corrections").get_by_role("button").first.click()

        page.wait_for_url(lambda url: "/#/trainings/" in url and mended["id"] not in url)
        changes = page.locator("section.card", has_text="What has changed since")
        expect(changes).to_contain_text("1 test image of before is not", timeout=SECONDS)
        again = stack.trainer.get(f"/v1/trainings/{page.url.rpartition('/')[2]}").json()
        page.goto(f"/#/compare/{again['id']},{mended['id']}")
        expect(changes.get_by_role("heading", name="Fixed: ")).to_be_visible()
    assert again["version"] == 2
    assert again["request"] == mended["request"] | {"dataset": again["dataset"]["id"]}
    dataset = stack.trainer.get(f"/v1/datasets/{again['dataset']['id']}").json()
    assert (dataset["corrected"], dataset["parent"]) == (1, mended["dataset"]["id"])


def test_a_picture_is_taught_on_the_predictors_page(chromium, stack, mended, directory):
    [(name, data)] = digits(directory, "7", 1).items()
    url = str(stack.predictor.base_url)
    with watched_page(chromium, url) as page:
        page.goto("/?model=mended")
        page.set_input_files("#files", {"name": name, "mimeType": "image/png", "buffer": data})
        page.get_by_role("button", name=f"Teach it what {name} is").click()
        page.get_by_label("What is it?").fill("seven")
        page.get_by_role("button", name="Note it").click()
        page.get_by_role("button", name="Send to the trainer").click()
        link = page.get_by_role("link", name="Look at them, and train again")
        expect(link).to_be_visible(timeout=SECONDS)
        link.click()

        expect(page.get_by_role("group", name="seven")).to_contain_text("1", timeout=SECONDS)
        expect(page.get_by_role("group", name="seven").get_by_role("img")).to_have_count(1)
        dataset = stack.trainer.get(f"/v1/datasets/{page.url.rpartition('/')[2]}").json()
    assert (dataset["added"], dataset["labels"]["seven"]) == (1, 1)


@pytest.fixture(scope="module")
def views(trained, again):
    """Of each view its hash, its heading, and what it shows once it is complete."""
    training = f"trainings/{trained['id']}"
    return {
        "start": ("", "Images already there", ".list li"),
        "dataset": (f"datasets/{trained['dataset']['id']}", "Training", "fieldset .choice"),
        "training": (f"{training}?truth=zero&predicted=zero", "Use it", "table.confusion"),
        "trainings": ("trainings", "Trainings", "tbody tr"),
        "models": ("models", "figures", "tbody tr"),
        "compare": (f"compare/{trained['id']},{again['id']}", "Compare 2 trainings", "tbody tr"),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone_and_can_be_read_and_asks_nobody_else(
    open_page, stack, views, scheme
):
    hosts = set()
    with open_page(viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        for name, (part, heading, complete) in views.items():
            page.goto(f"/#/{part}")
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
            expect(page.locator(f"main {complete}").first).to_be_visible()
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
            assert faint_texts(page) == [], name
    assert hosts == {stack.trainer.base_url.netloc.decode()}


@pytest.mark.parametrize("view", REQUESTS)
def test_a_view_is_left_without_a_fault_whatever_it_waits_for(open_page, views, view):
    """As on a busy machine; of what a view asked for, nobody waits once it is left."""
    part = views[view][0]
    with open_page() as page:
        leave(page)
        for answered in range(REQUESTS[view]):
            held = hold_after(page, answered)
            page.goto(f"/#/{part}")
            while not held:
                page.wait_for_timeout(10)
            leave(page)


def hold_after(page, number):
    """Have only so many of the page's requests answered; return the list of the others."""
    asked, held = [], []

    def answer_or_hold(route):
        if route.request.resource_type != "fetch":
            return route.fallback()
        asked.append(route)
        return route.fallback() if len(asked) <= number else held.append(route)

    page.unroute_all()
    page.route("**/*", answer_or_hold)
    return held


def leave(page):
    page.goto("/#/nothing")
    expect(page.get_by_role("alert")).to_have_text("There is no such page.")
