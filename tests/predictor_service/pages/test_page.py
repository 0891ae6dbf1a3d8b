"""The predictor's page in a real browser, before a real predictor."""

import json
import re
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from shared.models.manifest import GOLDEN_FILE
from tests.support.inputs.explainable_model import halves, publish_explainable_model
from tests.support.inputs.tiny_model import (
    LABELS,
    SIZE,
    carry_known_images,
    picture,
    publish_tiny_model,
)
from tests.support.processes.browser import (
    drop_from_disk,
    faint_texts,
    forgiving_page,
    running_browser,
    watched_page,
)
from tests.support.processes.predictor_process import running_predictor

pytestmark = pytest.mark.integration

EVIL = "<img src=x onerror=document.title='evil'>"
OTHER_HOST = "predictor.test"
REBOUND_HOST = "evil.example"
#: A look at the models follows after five seconds at most.
SECONDS = 15_000


@pytest.fixture(scope="module")
def chromium():
    camera = "--use-fake-device-for-media-stream"
    names = ", ".join(f"MAP {name} 127.0.0.1" for name in (OTHER_HOST, REBOUND_HOST))
    with running_browser(camera, f"--host-resolver-rules={names}") as running:
        yield running


@pytest.fixture(scope="module")
def still_predictor(tmp_path_factory):
    """A predictor with one model, whose first label is a trap; nothing changes in it."""
    directory = tmp_path_factory.mktemp("page")
    publish_evil(directory / "store")
    settings = {"allowed_hosts": OTHER_HOST}
    with running_predictor(directory / "store", directory / "log", **settings) as predictor:
        predictor.wait_until_ready()
        yield predictor


@pytest.fixture(scope="module")
def wary_predictor(tmp_path_factory):
    """A predictor whose model tells which pictures are unknown to it."""
    directory = tmp_path_factory.mktemp("wary")
    carry = partial(carry_known_images, distances=[number / 1000 for number in range(1, 40)])
    publish_tiny_model(directory / "store", change=carry)
    with running_predictor(directory / "store", directory / "log") as predictor:
        predictor.wait_until_ready()
        yield predictor


@pytest.fixture(scope="module")
def explaining_predictor(tmp_path_factory):
    """A predictor whose model can be explained."""
    directory = tmp_path_factory.mktemp("explaining")
    publish_explainable_model(directory / "store")
    with running_predictor(directory / "store", directory / "log") as predictor:
        predictor.wait_until_ready()
        yield predictor


@pytest.fixture
def open_page(chromium):
    """Return a function that opens the page of a predictor; see `watched_page`.

    It is closed with the requirement that it has asked nobody else for anything.
    """

    @contextmanager
    def opened(predictor, path="/", **options):
        with watched_page(chromium, predictor.url, **options) as page:
            hosts = set()
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.goto(path)
            yield page
        assert hosts - {""} == {urlsplit(predictor.url).netloc}

    return opened


def publish_evil(store):
    """Publish the classifier of colours with another name for red."""

    def rename(staging):
        golden = json.loads((staging / GOLDEN_FILE).read_bytes())
        for image in golden:
            image["label"] = EVIL if image["label"] == "red" else image["label"]
        (staging / GOLDEN_FILE).write_text(json.dumps(golden))

    return publish_tiny_model(store, labels=(EVIL, *LABELS[1:]), change=rename)


def upload(page, **pictures):
    files = [
        {"name": name.replace("_", "."), "mimeType": "image/png", "buffer": data}
        for name, data in pictures.items()
    ]
    page.set_input_files("#files", files)


def result(page, name):
    return page.get_by_role("article", name=name)


def test_each_picture_gets_its_own_answer_or_its_own_error(open_page, still_predictor):
    with open_page(still_predictor, refusals=1) as page:
        upload(page, green_png=picture("green", 300), no_png=b"text", blue_png=picture("blue"))

        green = result(page, "green.png")
        expect(green.get_by_role("listitem")).to_have_count(3)
        expect(green.get_by_role("listitem").first).to_have_text(re.compile(r"^green\s*> 99.9 %$"))
        expect(green).to_contain_text("by colours, version 1")
        expect(green).to_contain_text("300 \u00d7 300 pixels")
        expect(result(page, "blue.png").get_by_role("listitem").first).to_contain_text("blue")
        expect(result(page, "no.png")).to_contain_text("Not an image in one of the formats")
        expect(page.get_by_role("status").last).to_have_text("2 images classified, 1 refused.")
        names = page.get_by_role("article").get_by_role("heading").all_inner_texts()
        assert names == ["green.png", "no.png", "blue.png"]


def test_bars_are_as_long_as_the_probabilities(open_page, still_predictor):
    rgb = (100, 90, 60)
    answer = still_predictor.predict(picture(rgb)).json()["predictions"][0]
    with open_page(still_predictor) as page:
        upload(page, brown_png=picture(rgb))
        bars = result(page, "brown.png").locator(".bar")
        expect(bars).to_have_count(3)

        for bar, expected in zip(bars.all(), answer["top"], strict=True):
            whole, part = bar.bounding_box(), bar.locator("span").bounding_box()
            share = part["width"] / whole["width"]
            assert share == pytest.approx(expected["probability"], abs=0.01)


def test_a_picture_that_is_unknown_is_told_whatever_its_probability(open_page, wary_predictor):
    with open_page(wary_predictor) as page:
        upload(page, grey_png=picture((128, 128, 128)), red_png=picture("red"))
        grey, red = (result(page, f"{name}.png") for name in ("grey", "red"))

        expect(grey).to_contain_text("Unknown: not like any training image. At most 2.5 % of known")
        expect(grey.locator(".bars").get_by_role("listitem")).to_have_count(3)
        expect(red.locator(".bars").get_by_role("listitem")).to_have_count(3)
        expect(red).not_to_contain_text("Unknown")
        red.get_by_text("Nearest training images").click()
        expect(red.locator(".nearest")).to_contain_text("100.0 % of known pictures are at least as")
        expect(red.locator(".nearest").get_by_role("listitem").first).to_have_text(
            re.compile("^000000000000 at a distance of 0.00")
        )


def test_a_label_shows_where_the_picture_speaks_for_it(open_page, explaining_predictor):
    with open_page(explaining_predictor) as page:
        upload(page, two_png=halves("red", "blue"))
        card = result(page, "two.png")
        red, blue = (card.get_by_role("button", name=label) for label in ("red", "blue"))

        red.press("Enter")
        shown = card.get_by_role("img", name=re.compile(r"^The picture speaks for red mostly at"))
        expect(shown).to_have_attribute("alt", re.compile("left"))
        expect(shown).not_to_have_attribute("alt", re.compile("right"))
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == SIZE
        picture_box, heat_box = (
            card.locator(f".layers img{kind}").bounding_box() for kind in (":first-child", ".over")
        )
        assert picture_box == heat_box, "it covers the picture"
        expect(red).to_have_attribute("aria-pressed", "true")
        label = card.locator("figcaption strong")  # a mark of direction in it turns nothing else
        expect(label).to_have_text("red")
        expect(label).to_have_css("unicode-bidi", "isolate")

        blue.click()
        expect(card.get_by_role("figure")).to_contain_text(re.compile("for blue .* right"))
        expect(red).to_have_attribute("aria-pressed", "false")

        blue.click()
        expect(card.get_by_role("figure")).to_have_count(0)


def test_without_heatmaps_labels_are_no_buttons(open_page, still_predictor):
    with open_page(still_predictor) as page:
        upload(page, red_png=picture("green"))
        card = result(page, "red.png")

        expect(card.get_by_role("listitem")).to_have_count(3)
        expect(card.get_by_role("button")).to_have_count(1)  # the one that removes it


def test_model_and_version_are_shown(open_page, still_predictor):
    with open_page(still_predictor) as page:
        panel = page.get_by_role("region", name="Model")

        for fact in ("colours", "mean_colour", "openvino, ", "3 labels"):
            expect(panel).to_contain_text(fact)
        expect(panel.get_by_role("combobox")).to_have_count(0)


def test_labels_and_file_names_are_text(open_page, still_predictor):
    with open_page(still_predictor) as page:
        files = [{"name": EVIL, "mimeType": "image/png", "buffer": picture("red")}]
        page.set_input_files("#files", files)

        card = result(page, EVIL)
        expect(card.get_by_role("listitem").first).to_contain_text(EVIL)
        expect(card.get_by_role("heading")).to_have_text(EVIL)
        expect(page.get_by_role("region", name="Model")).to_contain_text(EVIL)
        assert page.title() == "Headstart predictor"
        assert page.locator("img[src=x]").count() == 0


def test_a_picture_is_pasted(open_page, still_predictor):
    permissions = ["clipboard-read", "clipboard-write"]
    with open_page(still_predictor, permissions=permissions) as page:
        page.evaluate(
            """async (bytes) => {
              const blob = new Blob([new Uint8Array(bytes)], { type: "image/png" });
              await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }""",
            list(picture("blue", 20)),
        )
        page.keyboard.press("Control+V")
        expect(page.get_by_role("article").get_by_role("listitem").first).to_contain_text("blue")

        page.evaluate("navigator.clipboard.writeText('words')")
        page.keyboard.press("Control+V")
        expect(page.get_by_role("alert")).to_have_text("The clipboard has no image.")


@pytest.mark.parametrize("where", [".drop", "header.page"])
def test_pictures_and_folders_are_dropped_anywhere(open_page, still_predictor, tmp_path, where):
    (tmp_path / "holiday").mkdir()
    for name in ("a.png", "holiday/b.png"):
        (tmp_path / name).write_bytes(picture("green"))
    with open_page(still_predictor) as page:
        drop_from_disk(page, where, tmp_path / "a.png", tmp_path / "holiday")

        for name in ("a.png", "holiday/b.png"):
            expect(result(page, name).get_by_role("listitem").first).to_contain_text("green")


def test_a_picture_is_taken_with_the_camera(open_page, still_predictor):
    with open_page(still_predictor, permissions=["camera"]) as page:
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_role("button", name="Take a photo").click()
        card = page.get_by_role("article", name="Camera")
        expect(card.get_by_role("listitem").first).to_contain_text("green")
        expect(card).to_contain_text(re.compile("[0-9]{3,4} \u00d7 [0-9]{3,4} pixels"))

        page.get_by_role("button", name="Close the camera").click()
        expect(page.locator("video")).to_have_count(0)
        expect(page.get_by_role("button", name="Use the camera")).to_be_focused()


def test_a_camera_that_is_not_allowed_is_said(open_page, still_predictor):
    with open_page(still_predictor, permissions=[]) as page:
        page.get_by_role("button", name="Use the camera").click()
        expect(page.get_by_role("alert")).to_contain_text("The camera was not allowed.")


def test_over_plain_http_the_page_says_why_there_is_no_camera(chromium, still_predictor):
    with watched_page(chromium, still_predictor.url.replace("127.0.0.1", OTHER_HOST)) as page:
        page.goto("/")
        page.get_by_role("button", name="Use the camera").click()

        expect(page.get_by_text("this one came over plain http")).to_be_visible()
        photo = {"name": "photo.png", "mimeType": "image/png", "buffer": picture("blue")}
        page.get_by_label("Take a photo").set_input_files(photo)
        expect(result(page, "photo.png").get_by_role("listitem").first).to_contain_text("blue")


def test_a_name_that_was_made_to_lead_here_reads_nothing(chromium, still_predictor):
    url = still_predictor.url.replace("127.0.0.1", REBOUND_HOST)
    with watched_page(chromium, url, refusals=1) as page:
        answer = page.goto("/v1/models")
        problem = answer.json()

    assert answer.status == 421
    assert REBOUND_HOST in problem["detail"]


def test_keyboard_alone_is_enough(open_page, still_predictor, tmp_path):
    file = tmp_path / "red.png"
    file.write_bytes(picture("green"))
    with open_page(still_predictor) as page:
        # Listened for from the beginning: a browser that is not told yet hands none over.
        page.on("filechooser", lambda chooser: chooser.set_files(file))
        expect(page.get_by_role("region", name="Model")).to_contain_text("colours")
        focused = tab_to(page, "Choose images")
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(result(page, "red.png").get_by_role("listitem").first).to_contain_text("green")
        tab_to(page, "Remove red.png")
        page.keyboard.press("Enter")

        expect(page.get_by_role("article")).to_have_count(0)
        expect(page.get_by_role("region", name="Results")).to_be_hidden()


def tab_to(page, name):
    """Press the tab key until the button of that name has the focus."""
    button = page.get_by_role("button", name=name)
    for _ in range(12):
        page.keyboard.press("Tab")
        if button.evaluate("e => e === document.activeElement"):
            return button
    raise AssertionError(f"{name} can't be reached by the tab key")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_s_width_is_enough(open_page, still_predictor, scheme):
    viewport = {"width": 360, "height": 740}
    with open_page(still_predictor, viewport=viewport, color_scheme=scheme) as page:
        name = f"{'long' * 40}_png"
        upload(page, **{name: picture("red")})
        expect(page.get_by_role("article").get_by_role("listitem")).to_have_count(3)

        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert faint_texts(page) == []


def test_a_hidden_page_does_not_ask(open_page, still_predictor):
    with open_page(still_predictor, "about:blank", alone=True) as page:
        page.clock.install()
        with page.expect_response("**/v1/models"):
            page.goto("/")
        expect(page.get_by_role("region", name="Model")).to_contain_text("colours")
        asked = []
        page.on("request", lambda request: asked.append(request.url))

        set_hidden(page, hidden=True)
        page.clock.run_for(60_000)
        assert asked == []

        with page.expect_response("**/v1/models"):
            set_hidden(page, hidden=False)
        with page.expect_response("**/v1/models"):
            page.clock.run_for(5_000)


def set_hidden(page, *, hidden):
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_models_appear_and_change_without_a_reload(open_page, start_predictor, store):
    """From no model to the first, to its second version, to a second model: one page sees it."""
    predictor = start_predictor()
    with open_page(predictor) as page:
        panel = page.get_by_role("region", name="Model")
        expect(panel).to_contain_text("There is no model yet.")
        upload(page, green_png=picture("green"))
        green = result(page, "green.png")
        expect(green).to_contain_text("Waits for a model.")

        publish_tiny_model(store)
        expect(green).to_contain_text("by colours, version 1", timeout=SECONDS)
        expect(panel.get_by_role("status")).to_have_text("colours: version 1 is served now.")

        publish_tiny_model(store, contrast=0.001)
        expect(panel.get_by_role("status")).to_have_text(
            "colours: version 2 is served now instead of version 1.", timeout=SECONDS
        )
        expect(green).to_contain_text("by colours, version 1")
        page.get_by_role("button", name="Ask colours, version 2, about 1 image").click()
        expect(green).to_contain_text("by colours, version 2")
        expect(page.get_by_role("button", name="Ask colours")).to_be_hidden()

        publish_tiny_model(store, "others")
        choice = panel.get_by_role("combobox", name="Which model answers")
        expect(choice).to_have_value("colours", timeout=SECONDS)
        choice.select_option("others")
        upload(page, blue_png=picture("blue"))
        expect(result(page, "blue.png")).to_contain_text("by others, version 1")
        assert page.url.endswith("?model=others")
        page.reload()
        expect(choice).to_have_value("others")


def test_a_refused_version_is_told(open_page, start_predictor, store):
    def corrupt(staging):
        (staging / GOLDEN_FILE).write_text("[]")

    publish_tiny_model(store)
    publish_tiny_model(store, change=corrupt)
    predictor = start_predictor()
    predictor.wait_for_version(1)
    with open_page(predictor) as page:
        panel = page.get_by_role("region", name="Model")
        expect(panel).to_contain_text("Version 2 was refused: golden/golden.json lists no image.")
        expect(panel.get_by_role("definition").nth(1)).to_have_text("1")


def test_a_reason_without_a_place_to_break_it_does_not_widen_the_page(
    open_page, start_predictor, store
):
    def name_a_long_file(staging):
        golden = json.loads((staging / GOLDEN_FILE).read_bytes())
        golden[0]["file"] = "x" * 10_000
        (staging / GOLDEN_FILE).write_text(json.dumps(golden))

    publish_tiny_model(store, change=name_a_long_file)
    predictor = start_predictor()
    predictor.wait_for_quarantine(1)
    with open_page(predictor) as page:
        expect(page.get_by_role("region", name="Model")).to_contain_text("xxx …")
        assert page.evaluate("document.body.scrollWidth <= innerWidth")


def test_a_predictor_that_is_gone_is_said_and_images_are_sent_again_once_it_is_back(
    chromium, start_predictor, store
):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    page = chromium.new_page()
    page.goto(predictor.url)
    expect(page.get_by_role("region", name="Model")).to_contain_text("colours")
    port = urlsplit(predictor.url).port
    predictor.terminate()
    upload(page, green_png=picture("green"))
    green = result(page, "green.png")
    expect(green).to_contain_text("The predictor can't be reached.")
    expect(page.get_by_role("alert").last).to_contain_text("Trying again …", timeout=SECONDS)

    start_predictor(predictor_port=port).wait_until_ready()
    expect(green.get_by_role("listitem").first).to_contain_text("green", timeout=SECONDS)
    expect(page.get_by_text("Trying again …")).to_be_hidden(timeout=SECONDS)
    page.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "content_type": "text/html", "body": "<h1>Sign in</h1>"},
        {"status": 200, "content_type": "application/json", "body": "{}"},
        {"status": 502, "content_type": "text/html", "body": "<h1>Bad gateway</h1>"},
    ],
)
def test_an_answer_of_a_proxy_is_told_and_waited_out(chromium, still_predictor, answer):
    with forgiving_page(chromium, still_predictor.url) as page:
        page.goto("/")
        expect(page.get_by_role("region", name="Model")).to_contain_text("colours")
        page.route("**/v1/**", lambda route: route.fulfill(**answer))
        upload(page, green_png=picture("green"))
        green = result(page, "green.png")
        said = "status 502" if answer["status"] == 502 else "not the predictor"
        expect(page.get_by_role("alert").first).to_contain_text(said, timeout=SECONDS)
        expect(green).to_contain_text("It is sent again once the predictor answers.")
        page.unroute("**/v1/**")

        expect(green.get_by_role("listitem").first).to_contain_text("green", timeout=SECONDS)


def test_an_image_that_is_never_answered_is_given_up_with_a_button(chromium, still_predictor):
    with forgiving_page(chromium, still_predictor.url) as page:
        page.route("**/v1/predict?*", lambda route: route.abort())
        page.goto("/")
        upload(page, green_png=picture("green"))
        green = result(page, "green.png")
        expect(green).to_contain_text("The predictor can't be reached.")
        again = green.get_by_role("button", name="Try again")
        expect(again).to_be_visible(timeout=SECONDS)
        page.unroute("**/v1/predict?*")
        again.click()

        expect(green.get_by_role("listitem").first).to_contain_text("green")


def test_the_page_comes_with_headers_that_let_nothing_foreign_in(still_predictor):
    for path in ("/", "/pages/main.js", "/web/base.css"):
        answer = still_predictor.http.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_of_the_api_comes_from_the_service_itself(open_page, still_predictor):
    with open_page(still_predictor, "/docs") as page:
        page.get_by_text("Classify images").click(timeout=SECONDS)
        expect(page.get_by_role("button", name="Try it out")).to_be_visible(timeout=SECONDS)
