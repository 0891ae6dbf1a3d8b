"""Whole trainings with each kind of head, and what is told of the choice."""

import json

import numpy as np
import pytest

from shared.engines import load_version_engine
from shared.identifiers import new_id
from shared.images.decoding import ImageLimits, decode
from shared.models.manifest import NearInfo
from shared.models.model_store import REPORT_FILE, REPORT_PAGE, ModelStore
from tests.end_to_end.stack import digits
from trainer_service.backbones.architectures import find_architecture
from trainer_service.datasets.children.correct import correct
from trainer_service.datasets.dataset import Dataset
from trainer_service.inline import train_inline
from trainer_service.settings import TrainerSettings
from trainer_service.store.stores import Stores

pytestmark = [pytest.mark.slow, pytest.mark.integration]

ARCHITECTURE = find_architecture("efficientnet_lite0")
EACH = 12


@pytest.fixture(scope="module")
def settings(tmp_path_factory, redis_url, share_backbones):
    directory = tmp_path_factory.mktemp("heads")
    share_backbones(directory / "store")
    (directory / "few").mkdir()
    for name, data in digits(directory, "014", EACH).items():
        (directory / "few" / name).write_bytes(data)
    return TrainerSettings(store=directory / "store", datasets=directory, redis_url=redis_url)


def train(settings, model, **fields):
    record = train_inline(
        settings, model=model, architecture=ARCHITECTURE.id, dataset={"path": "few"}, **fields
    )
    assert record.state == "succeeded", record.error
    directory = ModelStore(settings.store).directory(model, 1)
    return record, json.loads((directory / REPORT_FILE).read_text())


@pytest.fixture(scope="module")
def default(settings):
    return train(settings, "default")


def test_by_default_a_regression_is_chosen_among_taps_and_strengths(settings, default):
    record, report = default

    head = record.head
    assert head == ModelStore(settings.store).manifest("default", 1).head
    assert (head.kind, head.cross_validated) == ("regression", True)
    assert head.features == ARCHITECTURE.feature_size_of(head.taps)
    assert set(head.val_losses) == {"last", "late", "all"}
    assert head.val_losses[head.taps] == min(head.val_losses.values())
    assert "cross-validation" in head.detail
    best = report["history"][report["best_epoch"] - 1]
    assert (best["taps"], best["strength"]) == (head.taps, head.strength)
    told = [e for e in Stores.open(settings).events.read(record.id) if e.type == "strength"]
    assert [event.attempt for event in told] == list(range(1, len(report["history"]) + 1))
    assert [event.val_loss for event in told] == [row["val_loss"] for row in report["history"]]


def test_the_published_graph_answers_as_the_regression_did(settings, default):
    _, report = default
    directory = ModelStore(settings.store).directory("default", 1)
    engine = load_version_engine(directory, "openvino", "f32")

    for row in report["test"]:
        data = (settings.datasets / "few" / row["image"]).read_bytes()
        size = ARCHITECTURE.input_size
        pixels = decode(data, size, size, ImageLimits(2**20, 10**6))
        answer = engine.infer(pixels[np.newaxis])["probabilities"][0].max()
        assert answer == pytest.approx(row["probability"], abs=0.05)


def test_layers_are_trained_on_what_a_regression_does_best_with(settings):
    record, report = train(settings, "layers", epochs=5)

    assert record.request.head == record.head.kind == "layers"
    assert set(record.head.val_losses) == {"last", "late", "all"}
    assert len(report["history"]) == 5
    assert "strength" not in report["history"][0]


def test_taps_that_are_asked_for_are_taken_without_trying_others(settings):
    record, report = train(settings, "late", taps="late")

    assert record.head.features == ARCHITECTURE.feature_size_of("late")
    assert {row["taps"] for row in report["history"]} == {"late"}
    assert record.cache.computed == 3 * EACH  # a space of its own
    assert train(settings, "again", taps="late")[0].cache.computed == 0


def test_a_corrected_dataset_is_searched_near_what_was_chosen_before(settings):
    """That is told by the record, the events, the manifest and the report."""
    before, _ = train(settings, "before", taps="late")  # so that no others can be tried
    stores = Stores.open(settings)
    parent = Dataset.open(stores.datasets, settings, before.dataset.id)
    (changed, *_) = parent.used_images()
    other = "4" if changed.label != "4" else "1"
    child = correct(parent, new_id(), {changed.sha256: other}, 1000)
    stores.datasets.create(child)

    record = train_inline(
        settings, model="before", architecture=ARCHITECTURE.id, dataset=child.id, taps="late"
    )

    head, models = record.head, ModelStore(settings.store)
    assert record.state == "succeeded", record.error
    assert head.near == NearInfo(training=before.id, differ=1, images=3 * EACH)
    told = [e for e in stores.events.read(record.id) if e.type == "strength"]
    assert {event.near for event in told} == {before.id}
    assert models.manifest("before", 2).head == head
    report = (models.directory("before", 2) / REPORT_PAGE).read_text()
    assert f"near what training {before.id} chose" in report


def test_views_are_tried_on_the_best_taps_and_used_if_they_are_better(settings, default):
    without, _ = default
    record, report = train(settings, "views", views=4)

    head, plain = record.head, without.head
    assert head.val_losses == plain.val_losses
    assert set(head.view_losses) == {1, 4}
    assert head.view_losses[1] == plain.val_losses[plain.taps]
    assert head.view_losses[head.views] == min(head.view_losses.values())
    assert {row["taps"] for row in report["history"] if row["views"] == 4} == {plain.taps}
    metrics = record.metrics["validation"]["loss"], without.metrics["validation"]["loss"]
    assert metrics[0] <= metrics[1] + 1e-4
    assert record.cache.views_computed == 3 * (without.dataset.images - 6)


def test_views_that_take_too_much_memory_are_refused(settings):
    small = settings.model_copy(update={"max_views_bytes": 10**6})
    record = train_inline(
        small, model="m", architecture=ARCHITECTURE.id, dataset={"path": "few"}, views=4, seed=1
    )

    assert record.state == "failed"
    assert "may take 3 MB" in record.error.detail
    assert "HEADSTART_MAX_VIEWS_BYTES allows 1 MB" in record.error.detail
    assert "bottleneck" not in [transition.state for transition in record.transitions]


def test_a_version_is_compared_with_the_served_one_on_what_both_have_kept_out(settings):
    poor = {"taps": "last", "epochs": 3, "learning_rate": 3e-4}
    first, _ = train(settings, "compared", promote="always", **poor)
    better, _ = train(settings, "compared", promote="if_better")
    worse, _ = train(settings, "compared", promote="if_better", **poor)

    both = f"on the {first.dataset.split['test']} test images that both have kept out"
    assert (better.version, better.promotion.served) == (2, True)
    assert both in better.promotion.reason
    assert (worse.version, worse.promotion.served) == (3, False)
    assert both in worse.promotion.reason or "no better than always" in worse.promotion.reason
    models = Stores.open(settings).models
    assert models.to_serve(models.snapshot("compared")) == 2
    page = (models.directory("compared", 3) / "report/index.html").read_text()
    assert "Published, not served" in page
    warned = [e for e in Stores.open(settings).events.read(worse.id) if e.type == "warning"]
    assert warned[-1].code == "not_served"
