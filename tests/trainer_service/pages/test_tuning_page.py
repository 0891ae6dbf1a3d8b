"""Fine-tuning in the trainer's page: how it is asked for, how it goes, and what came of it."""

import json

import pytest
from playwright.sync_api import expect

from shared.models.manifest import TuneInfo, TuneMeasure
from tests.support.processes.browser import faint_texts
from tests.support.trainer.builders import make_read_dataset, new_record
from trainer_service.store.events.events import (
    TuneEpochEvent,
    TuneEstimateEvent,
    TuneProgressEvent,
)
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration

SECONDS = 20_000
LAYER = "block11_project_bn"
EPOCHS = 4
FROZEN = TuneMeasure(loss=0.5, accuracy=0.8)
INFO = TuneInfo(
    cut=LAYER,
    published=True,
    frozen=FROZEN,
    tuned=TuneMeasure(loss=0.3, accuracy=0.9),
    best_epoch=2,
    epochs=3,
    views=6,
    augment=["crop", "colour"],
    learning_rate=1e-4,
    seconds=75.0,
    reason="The tuned network is published: its loss is 0.300 instead of 0.500.",
)


@pytest.fixture
def form(page, stores):
    """Open the form of a dataset at an architecture besides the one that is here."""

    def both(route):
        rows = route.fetch().json()
        for row in rows:
            row["available"] |= row["id"] == "mobilenet_v2"
        route.fulfill(json=rows)

    page.route("**/v1/architectures", both)
    dataset = make_read_dataset(stores.datasets, {"cat": 40, "dog": 50})
    page.goto(f"/#/datasets/{dataset}")
    page.get_by_role("radio", name="efficientnet_lite0").check(timeout=SECONDS)
    return page.get_by_role("group", name="Fine-tuning")


def sent(page):
    """Start the training, and return what is asked for."""
    with page.expect_request(lambda request: request.method == "POST") as posted:
        page.get_by_role("button", name="Start training").click()
    return json.loads(posted.value.post_data).get("tune")


def test_nothing_is_tuned_unless_it_is_chosen(page, form):
    expect(form).to_contain_text("published only if it answers the validation images better")
    expect(form.get_by_role("radio", name="Off")).to_be_checked()
    expect(form.get_by_label("Views")).to_have_count(0)

    assert sent(page) is None


def test_the_last_layers_are_one_choice(page, form, stores):
    expect(form).to_contain_text(f"Those behind {LAYER}")
    form.get_by_role("radio", name="The last layers").check()

    assert sent(page) == "tail"
    page.wait_for_url("**/#/trainings/*")
    [record] = stores.trainings.list()
    assert record.request.tune == "tail"


def test_everything_else_is_folded_away(page, form, stores):
    form.get_by_role("radio", name="Other").check()
    form.get_by_label("From").select_option("block15_project_bn")
    form.get_by_label("Views").fill("3")
    form.get_by_label("Learning rate", exact=True).fill("0.0003")
    form.get_by_label("Augment").select_option("some")
    form.get_by_label("mirror").uncheck()
    asked = {"from": "block15_project_bn", "views": 3, "learning_rate": 0.0003}

    assert sent(page) == asked | {"augment": ["crop", "colour"]}
    page.wait_for_url("**/#/trainings/*")
    [record] = stores.trainings.list()
    assert record.request.tune.cut == "block15_project_bn"


def test_the_layers_are_those_of_the_architecture(page, form):
    form.get_by_role("radio", name="Other").check()
    expect(form.get_by_label("From")).to_have_value(LAYER)
    page.get_by_role("radio", name="mobilenet_v2").check()

    expect(form.get_by_label("From")).to_have_value("block_12_add")
    expect(form).to_contain_text("Those behind block_12_add: 30\u00a0% of the network")


def test_what_is_wrong_is_told_where_it_stands(page, form):
    form.get_by_role("radio", name="Other").check()
    form.get_by_label("Views").fill("many")
    sent(page)
    expect(form.get_by_label("Views")).to_have_attribute("aria-invalid", "true")
    expect(form).to_contain_text("Received: 'many'")

    form.get_by_label("Views").fill("17")
    form.get_by_label("Epochs").fill("0")
    sent(page)
    expect(form.get_by_label("Epochs")).to_have_attribute("aria-invalid", "true")
    expect(form).not_to_contain_text("Received: 'many'")


def training(stores):
    record = new_record(tune="tail")
    stores.trainings.create(record)
    for state in (State.PREPARING, State.BOTTLENECK, State.HEAD, State.TUNING):
        stores.trainings.update(record.id, lambda current, state=state: current.enter(state))
    return record.id


def epoch(number, val_loss):
    return TuneEpochEvent(
        epoch=number,
        epochs=EPOCHS,
        loss=0.2,
        accuracy=0.9,
        val_loss=val_loss,
        val_accuracy=1 - val_loss / 2,
        learning_rate=1e-4,
        best=True,
        frozen=FROZEN,
    )


def moves(line):
    """Return the heights of the points of a line in a chart."""
    path = line.get_attribute("d")
    return [float(point.split(" ")[1]) for point in path[1:].replace("L", "M").split("M")]


def test_how_it_goes_is_shown_while_it_runs_and_it_is_stopped(page, stores):
    training_id = training(stores)
    page.goto(f"/#/trainings/{training_id}")
    expect(page.locator(".phases .current")).to_contain_text("Tuning")
    views = TuneProgressEvent(
        phase=State.TUNING, step="views", done=450, total=900, per_second=41.6, eta_seconds=9.6
    )
    estimate = TuneEstimateEvent(
        seconds=200.4, views_seconds=65.0, epoch_seconds=33.8, epochs=EPOCHS, bytes=10**8
    )
    stores.events.append(training_id, [views, estimate])
    card = page.get_by_role("region", name="Fine-tuning")
    expect(card).to_contain_text("This will take 3 min 20 s at most")
    expect(page.get_by_text("450 of 900 views · 42 views/s · 9.6\u00a0s left")).to_be_visible()

    images = views.model_copy(update={"step": "training", "done": 30, "total": 600})
    stores.events.append(training_id, [images, epoch(1, 0.45), epoch(2, 0.3)])
    expect(page.get_by_text("30 of 600 images · 42 images/s")).to_be_visible()
    figure = card.locator("figure", has_text="Validation loss")
    expect(figure.locator(".legend")).to_have_text("tuned 0.300before tuning 0.500")
    tuned, before = figure.locator(".chart path.line").all()
    assert moves(tuned)[0] < moves(tuned)[1]  # down, as the loss falls
    assert len(moves(before)) == EPOCHS
    assert len(set(moves(before))) == 1

    stores.events.append(training_id, [epoch(1, 0.4)])  # again after a fault
    expect(figure.locator(".legend")).to_contain_text("tuned 0.400")
    page.get_by_role("button", name="Stop and publish").click()
    expect(page.get_by_role("button", name="Stopping")).to_be_disabled()
    record = stores.trainings.get(training_id)
    assert (record.stop_tuning, record.stop_after) == (True, None)


def test_a_training_that_is_not_to_be_tuned_has_no_such_phase(page, stores):
    record = new_record()
    stores.trainings.create(record)
    page.goto(f"/#/trainings/{record.id}")

    expect(page.locator(".phases li")).to_have_count(6)
    expect(page.locator(".phases")).not_to_contain_text("Tuning")


def test_one_that_is_cancelled_does_not_say_how_long_it_will_take(page, stores):
    training_id = training(stores)
    estimate = TuneEstimateEvent(
        seconds=200, views_seconds=65.0, epoch_seconds=33.8, epochs=EPOCHS, bytes=10**8
    )
    stores.events.append(training_id, [estimate, epoch(1, 0.4)])
    stores.trainings.update(training_id, lambda record: record.enter(State.CANCELLED))
    page.goto(f"/#/trainings/{training_id}")

    card = page.get_by_role("region", name="Fine-tuning")
    expect(card.locator(".legend").first).to_contain_text("tuned 0.400")
    expect(card).not_to_contain_text("This will take")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_result_has_both_figures_the_curves_and_the_reason(result, scheme):
    page = result(INFO, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    card = page.get_by_role("region", name="Fine-tuning")

    expect(card).to_contain_text(INFO.reason)
    expect(card.get_by_role("row", name="Before tuning 0.500 80.0")).to_be_visible()
    expect(card.get_by_role("row", name="Tuned published 0.300 90.0")).to_be_visible()
    expect(card).to_contain_text(f"The layers behind {LAYER} · 3 epochs · published: epoch 2")
    expect(card).to_contain_text("1 min 15 s")
    expect(card.locator(".chart path.line")).to_have_count(4)
    losses = card.locator("figure", has_text="Validation loss").locator(".legend")
    expect(losses).to_have_text("tuned 0.300 (epoch 2)before tuning 0.500 (epoch 2)")
    expect(page.get_by_text(f"yes, from {LAYER} on")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert faint_texts(page) == []


def test_what_was_not_tuned_is_told_with_the_reason_alone(result):
    nothing = {"published": False, "frozen": None, "tuned": None, "epochs": 0, "best_epoch": 0}
    page = result(INFO.model_copy(update=nothing | {"reason": "Nothing was tuned: <so>."}))
    card = page.get_by_role("region", name="Fine-tuning")

    expect(card).to_contain_text("Nothing was tuned: <so>.")
    expect(card.get_by_role("table")).to_have_count(0)
    expect(card.locator(".chart").first).to_be_hidden()


def test_a_result_without_tuning_has_no_such_card(result):
    page = result(None)

    expect(page.get_by_role("region", name="Fine-tuning")).to_have_count(0)
    expect(page.locator(".phases")).not_to_contain_text("Tuning", timeout=SECONDS)


def test_a_comparison_says_what_is_tuned(page, succeed):
    ids = [succeed(info)[0] for info in (INFO, None)]
    empty = {"history": []}
    page.route("**/report", lambda route: route.fulfill(json=empty))
    page.goto(f"/#/compare/{','.join(ids)}")
    row = page.get_by_role("row", name="Fine-tuning")

    expect(row.get_by_role("cell").first).to_have_text(f"yes, from {LAYER} on")
    expect(row.get_by_role("cell").last).to_have_text("no")


def test_the_list_of_trainings_says_what_is_tuned(page, succeed):
    tuned, refused = [
        succeed(INFO.model_copy(update={"published": published}))[0] for published in (True, False)
    ]
    page.goto("/#/trainings")

    for training_id, architecture in (
        (tuned, "efficientnet_lite0, tuned"),
        (refused, "efficientnet_lite0"),
    ):
        row = page.locator(f"tr[data-id='{training_id}']")
        expect(row.get_by_role("cell", name=architecture, exact=True)).to_be_visible()
