"""Pictures get a label on the predictor's page, which sends them to the trainer."""

import re
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from launcher.services import free_port
from tests.support.inputs.tiny_model import carry_known_images, picture, publish_tiny_model
from tests.support.processes.breaking_proxy import running_trainer
from tests.support.processes.browser import faint_texts, running_browser, watched_page
from tests.support.processes.predictor_process import running_predictor
from tests.support.trainer.builders import trainer_settings

pytestmark = pytest.mark.integration

#: Nothing answers there, unless a test does.
TRAINER = "http://127.0.0.1:1"
CHILD = "20260101-000000-aaaaaa"
#: How many images have been added to the dataset of the model.
OF_THE_MODEL = 7
KEY = "a-key-of-the-trainer-0123"
CORS = {"Access-Control-Allow-Origin": "*"}


@pytest.fixture(scope="module")
def chromium():
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    directory = tmp_path_factory.mktemp("teaching")
    carry = partial(carry_known_images, distances=[number / 1000 for number in range(1, 40)])
    publish_tiny_model(directory / "store", change=carry)
    with running_predictor(
        directory / "store", directory / "log", trainer_url=f"{TRAINER}/"
    ) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def page(chromium, predictor):
    with watched_page(chromium, predictor.url, refusals=None) as opened:
        yield opened


class Trainer:
    """Answers the page instead of a trainer, and notes what comes."""

    def __init__(self, page, key=None, refusal=None, duplicate=None):
        self.posted = []
        self._duplicate, self._added = duplicate, {}
        self.asked = []
        self.keys = []
        self._key, self._refusal = key, refusal
        page.route(f"{TRAINER}/**", self._answer)

    def _answer(self, route):
        request = route.request
        self.asked.append(request.url.removeprefix(TRAINER))
        if request.method == "POST":
            self.keys.append(request.headers["idempotency-key"])
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            problem = {"detail": "This API key is not valid."}
            return route.fulfill(status=401, json=problem, headers=CORS)
        if request.method == "GET":
            return route.fulfill(json=self._told(self.asked[-1]), headers=CORS)
        self.posted.append((self.asked[-1], request.post_data_buffer.decode("latin-1")))
        child = f"{CHILD[:-1]}{len(self._added)}" if self._added else CHILD
        taken = len(self.sent()) - (self._duplicate is not None)
        self._added[child] = max([OF_THE_MODEL, *self._added.values()]) + taken
        return route.fulfill(status=202, json={"id": child}, headers=CORS)

    def _told(self, path):
        """What it says of a dataset: those that it has made have all pictures but one."""
        if "/rejected" in path:
            told = {"verdict": "duplicate", "detail": "it is there already"}
            rows = [{"name": name, **told} for name in self.sent() if self._duplicate in name]
            return {"rejected": rows, "after": None}
        error = self._refusal and {"detail": self._refusal}
        added = self._added.get(path.rpartition("/")[2], OF_THE_MODEL)
        return {"state": "failed" if error else "ready", "error": error, "added": added}

    def sent(self):
        """The names of the files that were posted last."""
        return re.findall('filename="([^"]*)"', self.posted[-1][1])


def classify(page, **pictures):
    page.goto("/")
    files = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": data}
        for name, data in pictures.items()
    ]
    page.set_input_files("#files", files)


def card_of(page, name):
    return page.get_by_role("article", name=name)


def teach(page, name, label):
    card = card_of(page, name)
    card.get_by_role("button", name=f"Teach it what {name} is").click()
    card.get_by_label("What is it?").fill(label)
    card.get_by_label("What is it?").press("Enter")


def bar_of(page):
    return page.get_by_role("region", name="Pictures to teach")


def send(page):
    bar_of(page).get_by_role("button", name="Send to the trainer").click()


def test_pictures_are_labelled_and_sent_together(page, predictor):
    trainer = Trainer(page)
    classify(page, a=picture("green"), b=picture("blue"), c=picture("red"))
    teach(page, "a.png", "red")
    expect(card_of(page, "a.png")).to_contain_text("To be taught as red")
    teach(page, "b.png", "a new label")
    teach(page, "c.png", "blue")
    card_of(page, "c.png").get_by_role("button", name="Do not teach c.png").click()
    expect(card_of(page, "c.png").get_by_role("button", name="Teach it what")).to_be_focused()
    expect(bar_of(page)).to_contain_text("2 pictures to teach")
    assert trainer.asked == []
    send(page)

    expect(bar_of(page)).to_contain_text("2 pictures were added to the images.")
    link = bar_of(page).get_by_role("link", name="Look at them, and train again")
    expect(link).to_have_attribute("href", f"{TRAINER}/#/datasets/{CHILD}")
    expect(card_of(page, "a.png")).to_contain_text("Was taught as red")
    expect(bar_of(page).get_by_role("button")).to_be_hidden()
    dataset = predictor.model()["dataset"]
    [(path, body)] = trainer.posted
    assert path == f"/v1/datasets/{dataset}/images"
    names = [re.sub("[0-9a-f]{8}", "*", name) for name in trainer.sent()]
    assert names == ["red/*-a.png", "a new label/*-b.png"]
    assert picture("green").decode("latin-1") in body

    teach(page, "c.png", "green")
    send(page)
    expect(card_of(page, "c.png")).to_contain_text("Was taught as green")
    path, body = trainer.posted[1]
    assert path == f"/v1/datasets/{CHILD}/images"
    assert 'name="label"\r\n\r\ngreen\r\n' in body


def test_what_was_not_taken_is_told_with_the_reason(page):
    Trainer(page, duplicate="b.png")
    classify(page, a=picture("green"), b=picture("blue"))
    teach(page, "a.png", "red")
    teach(page, "b.png", "red")
    send(page)

    expect(bar_of(page)).to_contain_text("1 picture was added to the images.")
    expect(bar_of(page)).to_contain_text("1 picture was not taken:")
    expect(bar_of(page)).to_contain_text("b.png: duplicate, it is there already")
    expect(card_of(page, "a.png")).to_contain_text("Was taught as red")
    expect(card_of(page, "b.png")).to_contain_text("Was not taken as red: duplicate, it is there")
    expect(card_of(page, "b.png").get_by_role("button", name="Teach it what")).to_be_visible()


def test_a_picture_that_is_removed_is_not_sent(page):
    Trainer(page)
    classify(page, a=picture("green"))
    teach(page, "a.png", "red")
    card_of(page, "a.png").get_by_role("button", name="Remove a.png").click()

    expect(bar_of(page)).to_be_hidden()


def test_the_trainers_key_is_asked_for_and_kept_in_memory_only(page, predictor):
    trainer = Trainer(page, key=KEY)
    classify(page, a=picture("green"))
    teach(page, "a.png", "red")
    send(page)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="The trainer's API key")).to_be_visible()
    dialog.get_by_role("button", name="Cancel").click()
    expect(bar_of(page)).to_contain_text("The trainer needs a key, and none was given.")
    send(page)
    dialog.get_by_label("Key").fill("another-key-0123456789")
    dialog.get_by_role("button", name="Use it").click()
    expect(dialog.get_by_role("alert")).to_have_text("This API key is not valid.")
    dialog.get_by_label("Key").fill(KEY)
    dialog.get_by_role("button", name="Use it").click()

    expect(bar_of(page)).to_contain_text("1 picture was added to the images.")
    assert len(trainer.posted) == 1
    kept = "JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"
    assert KEY not in page.evaluate(kept)


def test_what_the_trainer_does_not_take_is_said_and_can_be_changed(page):
    trainer = Trainer(page, refusal="None can be added: it has 1-a.png already, as 'red'.")
    classify(page, a=picture("green"))
    teach(page, "a.png", "red")
    send(page)

    expect(bar_of(page)).to_contain_text("it has 1-a.png already, as 'red'.")
    expect(bar_of(page).get_by_role("button", name="Send to the trainer")).to_be_enabled()
    expect(card_of(page, "a.png")).to_contain_text("To be taught as red")
    send(page)
    card_of(page, "a.png").get_by_role("button", name="Do not teach a.png").click()
    teach(page, "a.png", "blue")
    send(page)
    expect(bar_of(page).get_by_role("button", name="Send to the trainer")).to_be_enabled()
    assert trainer.keys[0] == trainer.keys[1] != trainer.keys[2]


def test_a_trainer_that_can_not_be_asked_is_named_with_the_setting(chromium, predictor):
    context = chromium.new_context(base_url=predictor.url)  # the browser logs the lost request
    page = context.new_page()
    classify(page, a=picture("green"))
    teach(page, "a.png", "red")
    send(page)

    expect(bar_of(page)).to_contain_text(f"The trainer at {TRAINER} can't be asked from this page.")
    expect(bar_of(page)).to_contain_text(f"HEADSTART_ALLOWED_ORIGINS list {predictor.url}?")
    context.close()


def test_a_real_trainer_with_keys_is_asked_across_origins(chromium, tmp_path, redis_url):
    """It knows no dataset of the model, which it can only say if the browser lets its answer in."""
    port = free_port()
    settings = trainer_settings(
        tmp_path, redis_url, api_keys=KEY, allowed_origins=f"http://127.0.0.1:{port}"
    )
    publish_tiny_model(tmp_path / "models")
    with (
        running_trainer(settings) as trainer_port,
        running_predictor(
            tmp_path / "models",
            tmp_path / "log",
            predictor_port=port,
            trainer_url=f"http://127.0.0.1:{trainer_port}",
        ) as predictor,
        watched_page(chromium, predictor.url, refusals=3) as page,
    ):
        predictor.wait_until_ready()
        classify(page, a=picture("green"))
        teach(page, "a.png", "red")
        send(page)
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key").fill("another-key-0123456789")
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog.get_by_role("alert")).to_have_text("This API key is not valid.")
        dialog.get_by_label("Key").fill(KEY)
        dialog.get_by_role("button", name="Use it").click()

        missing = f"There is no dataset '{predictor.model()['dataset']}'."
        expect(bar_of(page)).to_contain_text(missing)


def test_the_nearest_training_images_are_shown_as_the_trainer_has_them(page, predictor):
    """One is small, so that it has no thumbnail; one was removed since."""
    red, green = (f"{number:064x}" for number in (0, 1))
    asked = []

    def answer(route):
        path = urlsplit(route.request.url).path
        asked.append(path)
        if path.endswith("/images"):
            rows = [(red, "red/1.png", "red"), (green, "green/2.png", "green")]
            images = [dict(zip(("sha256", "name", "label"), row, strict=True)) for row in rows]
            return route.fulfill(json={"images": images, "after": None}, headers=CORS)
        if path.endswith(f"{green}/thumbnail"):
            return route.fulfill(status=404, json={"detail": "none"}, headers=CORS)
        return route.fulfill(body=picture("red"), content_type="image/png", headers=CORS)

    page.route(f"{TRAINER}/**", answer)
    classify(page, a=picture("red"))
    near = card_of(page, "a.png").locator(".nearest")
    expect(near).to_be_visible()
    assert asked == [], "it is asked once somebody wants to see them"
    near.get_by_text("Nearest training images").click()

    first, second, third = (near.get_by_role("listitem").nth(place) for place in range(3))
    expect(first).to_contain_text(re.compile(r"red/1.png, red, at a distance of 0\.0"))
    for row, name in ((first, "red/1.png"), (second, "green/2.png")):
        shown = row.get_by_role("img", name=name)
        expect(shown).to_be_visible()
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 16
    expect(third).to_contain_text("000000000000 at a distance of")
    expect(near).to_contain_text("The trainer does not have all of them any more.")
    images = f"/v1/datasets/{predictor.model()['dataset']}/images"
    assert {asked[0], *asked[1:]} == {
        images,
        f"{images}/{red}/thumbnail",
        f"{images}/{green}/thumbnail",
        f"{images}/{green}",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_of_it_fits_a_phone_and_can_be_read(chromium, predictor, scheme):
    phone = {"width": 360, "height": 740}
    with watched_page(chromium, predictor.url, viewport=phone, color_scheme=scheme) as page:
        classify(page, a=picture("green"), b=picture("blue"))
        teach(page, "a.png", "x" * 200)
        card = card_of(page, "b.png")
        card.get_by_role("button", name="Teach it what").click()

        expect(card.get_by_label("What is it?")).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert faint_texts(page) == []
