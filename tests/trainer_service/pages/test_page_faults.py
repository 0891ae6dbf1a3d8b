"""What the trainer's page does while the trainer is slow, away, or not the one who answers."""

import math
import shutil

import httpx
import pytest
from playwright.sync_api import expect

from shared.models.manifest import TuneInfo
from tests.support.inputs.tiny_model import publish_tiny_model
from tests.support.trainer.builders import make_read_dataset, new_record
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration

SECONDS = 20_000
TRYING = "The trainer can't be reached. Is it still running? Trying again …"
HTML = {"status": 200, "content_type": "text/html", "body": "<h1>Sign in</h1>"}
BROKEN = {"status": 500, "content_type": "text/html", "body": "<h1>Oops</h1>"}


@pytest.fixture
def training(stores):
    record = new_record()
    stores.trainings.create(record)
    return record


@pytest.fixture
def dataset(stores):
    """The id of a dataset that can be trained on."""
    return make_read_dataset(stores.datasets, {"cat": 4, "dog": 5})


def holding(page, pattern, most=math.inf):
    """Return the list of the first requests; they are not answered, as long as no test does it."""
    held = []

    def hold(route):
        if len(held) == most:
            return route.continue_()
        held.append(route)
        return None

    page.route(pattern, hold)
    return held


def cancel(stores, training):
    stores.trainings.update(training.id, lambda record: record.enter(State.CANCELLED))


@pytest.mark.parametrize("view", ["training", "dataset", "models", "compare", "start"])
def test_a_view_that_is_opened_while_the_trainer_is_away_comes_when_it_is_back(
    page, proxy, training, dataset, view
):
    address, said = {
        "training": (f"#/trainings/{training.id}", training.id),
        "dataset": (f"#/datasets/{dataset}", "Start training"),
        "models": ("#/models", "No model has been published yet."),
        "compare": (f"#/compare/{training.id},{training.id}", "Test accuracy"),
        "start": ("#/", "a.zip"),
    }[view]
    page.goto("/#/trainings")
    expect(page.get_by_role("row")).to_have_count(2)
    proxy.refuses = True
    page.evaluate("(address) => { location.hash = address; }", address)
    expect(page.get_by_role("status").get_by_text(TRYING)).to_be_visible(timeout=SECONDS)
    proxy.refuses = False

    expect(page.get_by_text(said, exact=True).first).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(TRYING)).to_be_hidden()


@pytest.mark.parametrize(
    ("answer", "said"), [(HTML, "not the trainer"), (BROKEN, "answered with status 500")]
)
def test_an_answer_that_is_not_the_trainer_s_is_told_and_waited_out(page, training, answer, said):
    page.route("**/v1/**", lambda route: route.fulfill(**answer))
    page.goto(f"/#/trainings/{training.id}")
    expect(page.get_by_role("status").get_by_text(said)).to_be_visible(timeout=SECONDS)
    page.unroute("**/v1/**")

    expect(page.get_by_text(training.id)).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(said)).to_be_hidden()


def test_a_slow_trainer_is_said_to_be_waited_for(page, training):
    held = holding(page, "**/v1/trainings/*")
    page.goto(f"/#/trainings/{training.id}")
    expect(page.get_by_text("Waiting for the trainer's answer …")).to_be_visible(timeout=SECONDS)
    held[0].continue_()

    expect(page.get_by_text(training.id)).to_be_visible()
    expect(page.get_by_text("Waiting for the trainer's answer …")).to_be_hidden()


def test_a_trainer_that_never_answers_is_asked_again(page, training):
    page.clock.install()
    holding(page, "**/v1/trainings/*")
    # The browser's own timer of a request does not go by the page's clock.
    page.add_init_script(
        "AbortSignal.timeout = () => AbortSignal.any([globalThis.silence.signal]);"
    )
    page.add_init_script("globalThis.silence = new AbortController();")
    page.goto(f"/#/trainings/{training.id}")
    page.wait_for_timeout(300)
    page.evaluate("silence.abort(new DOMException('', 'TimeoutError'))")
    expect(page.get_by_text("has not answered for 30 seconds. Trying again")).to_be_visible()


def test_a_stream_that_has_fallen_silent_is_asked_for_anew(page, proxy, stores, training):
    """As after the loss of a host, of which a browser is not told."""
    page.clock.install()
    page.goto(f"/#/trainings/{training.id}")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    proxy.holds = True
    cancel(stores, training)
    page.wait_for_timeout(1500)
    expect(page.locator(".state")).to_have_text("Queued")
    proxy.holds = False
    page.clock.run_for(21_000)

    expect(page.locator(".state")).to_have_text("Cancelled", timeout=SECONDS)


def test_a_training_that_is_removed_meanwhile_is_not_shown_any_more(page, stores, training):
    page.goto(f"/#/trainings/{training.id}")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    stores.trainings.delete(training.id)

    expect(page.get_by_role("alert")).to_contain_text("There is no training", timeout=SECONDS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_training_is_cancelled_once_the_trainer_is_back(page, proxy, stores, training):
    page.goto(f"/#/trainings/{training.id}")
    cancels = page.get_by_role("button", name="Cancel")
    expect(cancels).to_be_visible()
    proxy.refuses = True
    cancels.click()
    expect(page.get_by_text(TRYING)).to_be_visible(timeout=SECONDS)
    proxy.refuses = False

    expect(page.locator(".state")).to_have_text("Cancelled", timeout=SECONDS)
    expect(page.get_by_text(TRYING)).to_be_hidden()


def test_what_another_tab_does_to_the_list_of_trainings_is_seen(page, stores, training):
    other = new_record()
    stores.trainings.create(other)
    cancel(stores, training)
    cancel(stores, other)
    page.clock.install()
    page.goto("/#/trainings")
    expect(page.get_by_role("row")).to_have_count(3)
    for box in page.get_by_role("checkbox").all():
        box.check()
    expect(page.get_by_role("button", name="Compare 2")).to_be_enabled()
    stores.trainings.delete(other.id)
    page.clock.run_for(11_000)

    expect(page.get_by_role("row")).to_have_count(2, timeout=SECONDS)
    expect(page.get_by_role("button", name="Choose two to compare")).to_be_disabled()
    stores.trainings.delete(training.id)
    page.clock.run_for(11_000)
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_a_comparison_leaves_out_what_was_removed_and_says_so(page, stores, training):
    other = new_record()
    stores.trainings.create(other)
    page.goto(f"/#/compare/{training.id},20260101-000000-aaaaaa,{other.id}")

    expect(page.get_by_role("alert")).to_contain_text("There is no training")
    expect(page.locator("table.compared thead th")).to_have_count(2)


def test_a_reading_that_changed_elsewhere_is_not_trained_on_unseen(page, stores, dataset):
    page.goto(f"/#/datasets/{dataset}")
    start = page.get_by_role("button", name="Start training")
    expect(start).to_be_visible()
    page.get_by_label("Model name").fill("mine")
    page.get_by_text("Other settings").click()
    page.get_by_label("Epochs").fill("7")
    stores.datasets.update(dataset, relabel)
    start.click()

    expect(page.get_by_role("alert")).to_contain_text("read in another way meanwhile")
    assert stores.trainings.list() == []
    page.get_by_role("button", name="Show how they are now").click()
    expect(page.get_by_role("heading", name="bird")).to_be_visible()
    # What was filled in is still there, and now it is trained on.
    assert page.get_by_label("Model name").input_value() == "mine"
    start.click()
    page.wait_for_url("**/#/trainings/*", timeout=SECONDS)
    [made] = stores.trainings.list()
    assert (made.model, made.request.epochs) == ("mine", 7)


def test_a_reading_that_changed_elsewhere_is_told_by_itself(page, stores, dataset):
    page.clock.install()
    page.goto(f"/#/datasets/{dataset}")
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    stores.datasets.update(dataset, relabel)
    page.clock.run_for(6_000)

    expect(page.get_by_role("button", name="Show how they are now")).to_be_visible()


@pytest.fixture
def in_place(stores):
    """The id of a dataset that is read where it lies, and can be read again."""
    where = {"source": "pets", "path": True, "in_place": True}
    return make_read_dataset(stores.datasets, {"cat": 4, "dog": 5}, **where)


def test_what_this_tab_has_decided_is_not_told_as_done_elsewhere(page, stores, in_place):
    page.clock.install()
    page.goto(f"/#/datasets/{in_place}")
    page.get_by_role("button", name="Rename cat").click()
    page.get_by_label("New name of cat").fill("bird")
    page.get_by_role("button", name="Use the new names").click()
    expect(page.get_by_text("The images are being read")).to_be_visible()

    def finish(record):
        relabel(record)
        record.state = DatasetState.READY

    stores.datasets.update(in_place, finish)
    page.clock.run_for(1_000)
    expect(page.get_by_role("heading", name="bird")).to_be_visible()
    for _ in range(3):
        page.clock.run_for(6_000)
        page.wait_for_timeout(200)

    expect(page.get_by_role("button", name="Show how they are now")).to_have_count(0)


def test_a_look_that_is_given_up_is_not_told_as_a_change(page, in_place):
    page.clock.install()
    page.goto(f"/#/datasets/{in_place}")
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    held = holding(page, f"**/v1/datasets/{in_place}", 1)
    page.clock.run_for(6_000)
    while not held:
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Rename cat").click()
    page.get_by_label("New name of cat").fill("bird")
    page.get_by_role("button", name="Use the new names").click()
    expect(page.get_by_text("The images are being read")).to_be_visible()

    expect(page.get_by_role("button", name="Show how they are now")).to_have_count(0)


def test_new_names_do_not_overwrite_what_another_tab_has_decided(page, stores, dataset):
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_role("button", name="Rename cat").click()
    page.get_by_label("New name of cat").fill("kitten")
    stores.datasets.update(dataset, relabel)
    page.get_by_role("button", name="Use the new names").click()

    expect(page.get_by_role("alert")).to_contain_text("read in another way meanwhile")
    assert stores.datasets.get(dataset).reading.rename == {}
    expect(page.get_by_label("New name of cat")).to_have_value("kitten")


def relabel(record):
    record.labels = {"bird": 4, "dog": 5}


def test_models_show_what_was_published_and_pinned_elsewhere(page, trainer_port, settings):
    url = f"http://127.0.0.1:{trainer_port}/v1/models/colours/pin"
    tune = TuneInfo(cut="last", published=True, learning_rate=1e-4)
    page.clock.install()
    page.goto("/#/models")
    expect(page.get_by_text("No model has been published yet.")).to_be_visible()
    version = publish_tiny_model(settings.store, tune=tune)
    page.clock.run_for(6_000)
    expect(page.get_by_role("link", name="Version 1")).to_be_visible()
    expect(page.get_by_role("cell", name="mean_colour, tuned")).to_be_visible()
    httpx.put(url, json={"version": version}).raise_for_status()
    page.clock.run_for(6_000)
    expect(page.get_by_text("the predictor stays with version 1")).to_be_visible()

    # An answer from before a click does not undo it on the page.
    held = holding(page, "**/v1/models")
    page.clock.run_for(6_000)
    while not held:
        page.wait_for_timeout(50)
    before = held[0].fetch()
    page.get_by_role("button", name="Un-pin version 1").click()
    expect(page.get_by_text("the predictor serves the newest")).to_be_visible()
    held[0].fulfill(response=before)
    page.wait_for_timeout(500)
    expect(page.get_by_text("the predictor serves the newest")).to_be_visible()
    shutil.rmtree(settings.store / "models" / "colours")


def test_a_double_click_has_a_path_read_once(page, stores):
    page.goto("/")
    page.get_by_text("A folder or archive on the trainer's machine").click()
    page.get_by_label("Path below the datasets directory").fill("pets")
    page.get_by_role("button", name="Read it").dblclick()
    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)

    assert len(stores.datasets.list()) == 1


def test_a_double_click_starts_one_training(page, stores, dataset):
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_role("radio", name="efficientnet_lite0").check()
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url("**/#/trainings/*", timeout=SECONDS)

    assert len(stores.trainings.list()) == 1


def test_an_upload_that_was_given_up_is_sent_again_without_choosing_it_again(
    page, stores, tmp_path
):
    (tmp_path / "pets.zip").write_bytes(b"PK\5\6" + bytes(18))
    page.goto("/")
    expect(page.get_by_text("None yet.")).to_be_visible()
    page.route("**/v1/datasets", lambda route: route.fulfill(**BROKEN))
    page.set_input_files("#archive", tmp_path / "pets.zip")
    expect(page.get_by_role("alert")).to_contain_text("status 500")
    page.unroute("**/v1/datasets")
    page.get_by_role("button", name="Send it again").click()

    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)
    assert len(stores.datasets.list()) == 1


def test_the_settings_leave_out_what_is_decided_above_them(page, dataset):
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_text("Other settings").click()
    settings = page.locator(".settings")
    expect(settings.get_by_label("Seed")).to_be_visible()
    expect(settings.get_by_label("Reading")).to_have_count(0)
    expect(settings).not_to_contain_text("undefined")


def test_an_upload_is_not_lost_by_a_link_that_is_followed_by_mistake(page, stores, tmp_path):
    (tmp_path / "pets.zip").write_bytes(b"PK\5\6" + bytes(18))
    page.goto("/")
    held = holding(page, "**/v1/datasets")
    page.set_input_files("#archive", tmp_path / "pets.zip")
    expect(page.get_by_text("Sending 1 file")).to_be_visible()
    questions = []

    def refuse(dialog):
        questions.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    for view in ("Trainings", "Models"):
        with page.expect_event("dialog"):
            page.get_by_role("link", name=view).click()
        expect(page.get_by_text("Sending 1 file")).to_be_visible()
    assert questions == 2 * ["Images are being sent. Stop that, and leave?"]

    [upload] = [route for route in held if route.request.method == "POST"]
    upload.continue_()
    page.wait_for_url("**/#/datasets/*", timeout=SECONDS)
    assert len(questions) == 2
    page.get_by_role("link", name="Trainings").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_an_address_without_an_id_leads_to_the_start(page):
    page.goto("/#/datasets")
    expect(page.get_by_role("heading", name="Train a model on your images")).to_be_visible()
