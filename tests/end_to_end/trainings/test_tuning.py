"""Trainings that tune the last layers: what is told and published, and what faults do to them."""

import json
import time

import pytest

from shared.models.model_store import REPORT_FILE, ModelStore
from tests.end_to_end.stack import digits, running_stack, zipped
from trainer_service.store.events.event_log import EVENTS_FILE

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ARCHITECTURE = "efficientnet_lite0"
PATIENCE_SECONDS = 120
#: From the request to the end.
CANCEL_SECONDS = 10
EACH = 70
#: The last block only, and what it is trained on is made quickly.
CHEAP = {"from": "block15_project_bn", "views": 2, "augment": ["colour"], "epochs": 3}
ENDLESS = CHEAP | {"epochs": 200, "patience": 200, "learning_rate": 1e-6}


@pytest.fixture(scope="module")
def stack(directory, redis_url, share_backbones):
    share_backbones(directory / "store")
    with running_stack(directory, workers=0, redis_url=redis_url, lease_seconds=6) as running:
        yield running


@pytest.fixture(scope="module")
def pictures(directory):
    return digits(directory, "257", EACH)


@pytest.fixture(scope="module")
def tuned(stack, workers, pictures):
    """A training whose form asks for the tail; its pictures and features serve the others."""
    workers.one()
    form = {"epochs": "8", "views": "2", "learning_rate": "0.0003", "augment": "colour"}
    form = {f"tune.{name}": value for name, value in form.items()}
    return stack.train(
        zipped(pictures), model="tuned", architecture=ARCHITECTURE, taps="last", **form
    )


@pytest.fixture
def submit(stack, workers, tuned):
    def submit(model="m", tune=CHEAP, **fields):
        workers.one()
        return stack.submit(
            model=model,
            architecture=ARCHITECTURE,
            dataset=tuned["dataset"]["id"],
            taps="last",
            tune=tune,
            **fields,
        )

    return submit


def events(stack, record, *types):
    file = stack.settings.store / "trainings" / record["id"] / EVENTS_FILE
    told = [json.loads(line) for line in file.read_text().splitlines()]
    return [event for event in told if event["type"] in types]


def wait_for(stack, record, event, count):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(events(stack, record, event)) < count:
        assert time.monotonic() < deadline, f"no {event}"
        time.sleep(0.05)


def report_of(stack, record):
    directory = ModelStore(stack.settings.store).directory(record["model"], record["version"])
    return json.loads((directory / REPORT_FILE).read_text())


def test_the_tail_is_tuned_and_published_as_it_is_better(stack, tuned):
    tune = tuned["tune"]

    assert [step["state"] for step in tuned["transitions"]][3:6] == ["head", "tuning", "evaluating"]
    assert (tune["cut"], tune["published"]) == ("block11_project_bn", True)
    assert (tune["views"], tune["augment"], tune["learning_rate"]) == (2, ["colour"], 3e-4)
    assert tune["tuned"]["loss"] < tune["frozen"]["loss"] - tune["margin"]
    assert f"{tune['tuned']['loss']:.3f} instead of {tune['frozen']['loss']:.3f}" in tune["reason"]
    assert "training images alone" in tune["reason"]  # there are few
    assert tuned["metrics"]["validation"] == pytest.approx(tune["tuned"], abs=1e-3)
    manifest = ModelStore(stack.settings.store).manifest("tuned", 1)
    assert manifest.tune.model_dump() == tune
    assert set(manifest.artifacts) == {"saved_model", "keras", "openvino"}


def test_what_is_told_of_it(stack, tuned):
    tune, report = tuned["tune"], report_of(stack, tuned)

    epochs = events(stack, tuned, "tune_epoch")
    assert [event["epoch"] for event in epochs] == [*range(1, 1 + tune["epochs"])]
    best = [event["epoch"] for event in epochs if event["best"]][-1]
    assert best == tune["best_epoch"]
    assert epochs[best - 1]["val_loss"] == tune["tuned"]["loss"]
    assert [event["frozen"] for event in epochs] == [tune["frozen"]] * len(epochs)
    page = stack.trainer.get(f"/v1/trainings/{tuned['id']}/report?format=html").text
    assert f"<p>{tune['reason']}</p>" in page
    assert f"Validation loss over {tune['epochs']} epochs: tuned" in page
    assert [row["val_loss"] for row in report["tune_history"]] == [e["val_loss"] for e in epochs]
    assert report["tune"] == tune
    (estimate,) = events(stack, tuned, "tune_estimate")
    assert 0 < estimate["epoch_seconds"] < estimate["seconds"]
    progress = events(stack, tuned, "tune_progress")
    views = [event for event in progress if event["step"] == "views"]
    assert estimate["id"] > views[0]["id"]
    assert views[-1]["done"] == views[-1]["total"] > 2 * EACH
    assert next(event["done"] for event in progress if event["step"] == "training") == 0


def test_the_predictor_serves_the_tuned_network(stack, tuned, pictures):
    stack.served("tuned", 1)
    rows = {row["image"]: row for row in report_of(stack, tuned)["test"]}

    answers = stack.predict("tuned", {name: pictures[name] for name in rows})

    for name, answer in zip(rows, answers, strict=True):
        assert answer["label"] == rows[name]["predicted"]
        assert answer["probability"] == pytest.approx(rows[name]["probability"], abs=0.05)


def test_the_whole_network_is_tuned_and_quantized(stack, submit):
    asked = {"from": "pixels", "epochs": 1, "views": 1}
    ended = stack.ended(submit("whole", asked, quantize="int8"))

    assert ended["state"] == "succeeded", ended["error"]
    tune = ended["tune"]
    assert (tune["cut"], tune["epochs"], tune["views"], tune["augment"]) == ("pixels", 1, 1, [])
    if tune["published"]:
        reference = ended["quantization"]["reference_accuracy"]
        assert reference == pytest.approx(tune["tuned"]["accuracy"], abs=1e-4)


def test_what_is_no_better_is_not_published(stack, submit):
    """Steps of this size forget everything."""
    ended = stack.ended(submit("worse", CHEAP | {"learning_rate": 0.5, "epochs": 2}))
    frozen = stack.train(
        model="frozen", architecture=ARCHITECTURE, dataset=ended["dataset"]["id"], taps="last"
    )

    tune = ended["tune"]
    assert (ended["state"], tune["published"], tune["best_epoch"]) == ("succeeded", False, 0)
    assert tune["tuned"]["loss"] > tune["frozen"]["loss"]
    assert tune["reason"].startswith("The network as it was before tuning is published")
    assert f"{tune['tuned']['loss']:.3f}, against {tune['frozen']['loss']:.3f}" in tune["reason"]
    assert ended["metrics"] == frozen["metrics"]
    (warning,) = events(stack, ended, "warning")
    assert (warning["code"], warning["detail"]) == ("tune_refused", tune["reason"])


def test_a_killed_worker_costs_an_epoch_at_most(stack, workers, submit):
    """What is published is what an undisturbed training publishes."""
    asked = CHEAP | {"epochs": 8, "patience": 8}
    undisturbed = stack.ended(submit("undisturbed", asked))
    record = submit("killed", asked)
    wait_for(stack, record, "tune_epoch", 3)
    workers.kill()
    done = len(events(stack, record, "tune_epoch"))
    ended = stack.ended(record, seconds=PATIENCE_SECONDS) if workers.one() else None

    assert ended["state"] == "succeeded", ended["error"]
    again = events(stack, record, "tune_epoch")[done:]
    assert [event["epoch"] for event in again] == list(range(1, 9))
    assert f"epochs={done}" in workers.log() or f"epochs={done + 1}" in workers.log()
    for name in ("frozen", "tuned"):
        expected = undisturbed["tune"][name]
        assert ended["tune"][name] == pytest.approx(expected, rel=1e-3)
    assert ended["metrics"]["test"]["loss"] == pytest.approx(
        undisturbed["metrics"]["test"]["loss"], abs=1e-3
    )


@pytest.mark.parametrize("step", ["views", "training"])
def test_it_is_cancelled_within_seconds(stack, submit, step):
    seed = 1 if step == "views" else 0  # other views than those that are stored
    asked = ENDLESS | ({"views": 16} if step == "views" else {})
    record = submit("cancelled", asked, seed=seed)
    wait_for(stack, record, "tune_progress" if step == "views" else "tune_epoch", 2)
    started = time.monotonic()

    assert stack.trainer.post(f"/v1/trainings/{record['id']}/cancel").status_code == 202
    ended = stack.ended(record, seconds=CANCEL_SECONDS)

    assert (ended["state"], ended["version"]) == ("cancelled", None)
    assert time.monotonic() - started < CANCEL_SECONDS
    shards = stack.settings.store / "trainings" / record["id"] / "shards"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while shards.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stopped_it_takes_the_best_epoch_so_far(stack, submit):
    record = submit("stopped", ENDLESS)
    wait_for(stack, record, "tune_epoch", 2)

    answer = stack.trainer.post(f"/v1/trainings/{record['id']}/stop")
    ended = stack.ended(record)

    assert answer.status_code == 202
    assert (answer.json()["stop_after"], answer.json()["stop_tuning"]) == (None, True)
    assert ended["state"] == "succeeded"
    assert 2 <= ended["tune"]["epochs"] < 200
    losses = [row["val_loss"] for row in report_of(stack, ended)["tune_history"]]
    assert len(losses) == ended["tune"]["epochs"]
    assert ended["tune"]["tuned"]["loss"] == min(losses)


def test_activations_that_are_removed_meanwhile_are_computed_again(stack, submit, workers):
    record = submit("removed", ENDLESS | {"epochs": 30})
    wait_for(stack, record, "tune_epoch", 1)
    for file in stack.settings.store.glob("activations/*/*"):
        file.unlink()
    ended = stack.ended(record)

    assert ended["state"] == "succeeded", ended["error"]
    assert ended["tune"]["epochs"] == 30
    assert "activations are computed again" in workers.log()


def test_too_few_validation_images_tune_nothing(stack, submit):
    ended = stack.ended(submit("few", split={"validation": 0.03, "test": 0.15}))

    assert (ended["state"], ended["tune"]["published"]) == ("succeeded", False)
    assert ended["tune"]["reason"].startswith("Nothing was tuned: there are")
    assert ended["tune"]["frozen"] is None
    assert [w["code"] for w in events(stack, ended, "warning")] == ["tune_refused"]
