"""From features to the head that a request asks for, in a store of its own."""

from dataclasses import replace

import numpy as np
import pytest

from shared.models.manifest import NearInfo
from trainer_service.backbones.architectures import CATALOGUE, OUTPUT
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.nearby import Nearby
from trainer_service.phases.head.progress import HeadProgress
from trainer_service.phases.head.regression.search import STRENGTHS
from trainer_service.phases.head.train import HeadTask, train_head
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.slow

WIDTHS = (10, 6, 7, 9)
SMALL = replace(
    CATALOGUE["mobilenet_v2"], taps=("first", "second", "third", OUTPUT), tap_widths=WIDTHS
)
LABELS = ["a", "b", "c"]
#: The places of each tap's features.
PLACES = np.split(np.arange(sum(WIDTHS)), np.cumsum(WIDTHS)[:-1])


def data(images, seed, taps=(0, 1, 2, 3), spread=1.0, shares=(1, 1, 1)):
    """Images of which some taps tell the label."""
    random = np.random.default_rng(seed)
    truth = np.sort(random.choice(3, images, p=np.array(shares) / sum(shares)))
    truth[:3] = range(3)
    features = random.normal(size=(images, sum(WIDTHS)))
    for tap in taps:
        centres = np.random.default_rng(tap).normal(size=(3, WIDTHS[tap]))
        features[:, PLACES[tap]] += 2 * centres[truth]
    return HeadData((features * spread).astype(np.float32), truth)


def task(work, train, validation):
    width = SMALL.feature_size_of(work.record.request.computed_taps)
    return HeadTask(work, SMALL, train.last(width), validation.last(width), LABELS)


def accuracy(probabilities, truth):
    return (probabilities.argmax(axis=1) == truth).mean()


def answers_of(head, part):
    return head.model.predict(part.last(head.info.features).features, verbose=0)


def test_a_head_of_many_images_is_judged_by_those_of_validation(work_on):
    train, validation = data(300, 0), data(240, 1)
    head = train_head(task(work_on(), train, validation))

    probabilities, truth = head.validated
    assert not head.info.cross_validated
    np.testing.assert_array_equal(truth, validation.truth)
    np.testing.assert_allclose(answers_of(head, validation), probabilities, atol=1e-4)
    assert accuracy(probabilities, truth) > 0.9
    best = head.history[head.best - 1]
    assert (best["taps"], best["strength"]) == (head.taps, head.info.strength)
    assert best["val_loss"] == min(step["val_loss"] for step in head.history)
    for taps, loss in head.info.val_losses.items():
        losses = [step["val_loss"] for step in head.history if step["taps"] == taps]
        assert loss == pytest.approx(min(losses), abs=1e-6)


def test_a_head_of_few_images_is_judged_by_all_of_them(work_on):
    train, validation = data(50, 0), data(31, 1)
    head = train_head(task(work_on(), train, validation))

    probabilities, truth = head.validated
    assert head.info.cross_validated
    np.testing.assert_array_equal(truth, [*train.truth, *validation.truth])
    assert accuracy(probabilities, truth) > 0.9
    assert "the 81 training and validation images" in head.info.detail


@pytest.mark.parametrize(("taps", "sets"), [("auto", 3), ("late", 1)])
def test_as_many_attempts_are_announced_as_there_can_be(work_on, taps, sets):
    work = work_on(taps=taps)
    head = train_head(task(work, data(300, 0), data(240, 1)))

    most = sets * len(STRENGTHS)
    assert len({step["taps"] for step in head.history}) == sets
    events = [e for e in work.worker.stores.events.read(work.record.id) if e.type == "strength"]
    assert [event.attempt for event in events] == list(range(1, len(head.history) + 1))
    assert {event.attempts for event in events} == {most}
    progress = work.worker.board.read(work.record.id, State.HEAD)
    assert progress.done == progress.total == len(head.history)


def test_a_solved_head_answers_as_its_keras_model(work_on):
    validation = data(240, 1)
    head = train_head(task(work_on(), data(300, 0), validation))

    ours = head.solved.answers(validation.last(head.info.features).features)

    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, answers_of(head, validation), atol=1e-6)


def test_near_an_earlier_choice_few_attempts_are_announced_and_it_is_named(work_on):
    info = NearInfo(training="20260101-000000-aaaaaa", differ=3, images=540)
    parts = data(300, 0), data(240, 1)
    before = train_head(task(work_on(taps="late"), *parts)).info.strength
    work = work_on()
    head = train_head(replace(task(work, *parts), near=Nearby("late", before, info)))

    events = [e for e in work.worker.stores.events.read(work.record.id) if e.type == "strength"]
    assert {event.near for event in events} == {info.training}
    assert {event.attempts for event in events} == {3}
    assert len(events) == len(head.history) <= 3
    assert {step["taps"] for step in head.history} == {head.taps} == {"late"}
    assert head.info.near == info
    assert f"near what training {info.training} chose" in head.info.detail


def test_where_all_heads_were_tried_after_all_it_is_not_said_to_be_near(work_on):
    info = NearInfo(training="20260101-000000-aaaaaa", differ=3, images=540)
    question = task(work_on(), data(300, 0), data(240, 1))
    head = train_head(replace(question, near=Nearby("last", STRENGTHS[0], info)))

    assert len(head.info.val_losses) == 3
    assert head.info.near is None
    assert "near what training" not in head.info.detail


def test_a_client_that_stops_in_the_middle_of_an_attempt_does_not_wait_for_its_end(
    work_on, monkeypatch
):
    work = work_on(taps="late")
    whole = HeadProgress.attempt

    def attempt(progress, step):
        assert not whole(progress, step)
        work.check_cancelled.stop_after = 1
        return False

    monkeypatch.setattr(HeadProgress, "attempt", attempt)
    head = train_head(task(work, data(300, 0), data(240, 1)))

    assert len(head.history) == 1


def test_the_weights_of_labels_that_are_asked_for_reach_the_regression(work_on):
    shares = {"taps": (), "shares": (8, 8, 1)}
    train, validation = data(2000, 0, **shares), data(300, 1)

    def found(weights):
        head = train_head(task(work_on(class_weights=weights, taps="last"), train, validation))
        assert not head.info.cross_validated
        return head.validated[0].mean(axis=0)[2]

    assert found("none") < 0.1
    assert found("balanced") > 0.25


def test_the_seed_that_is_asked_for_deals_out_the_images(work_on):
    train, validation = data(60, 0, spread=0.1), data(30, 1)

    def losses(seed):
        head = train_head(task(work_on(seed=seed, taps="last"), train, validation))
        return [step["val_loss"] for step in head.history]

    assert losses(1) == losses(1) != losses(2)


@pytest.mark.parametrize(("taps", "tap"), [("last", 3), ("late", 1), ("all", 0)])
def test_layers_learn_from_the_taps_that_are_asked_for(work_on, taps, tap):
    """Only one tap tells the label."""
    train, validation = data(300, 0, (tap,)), data(240, 1, (tap,))
    request = {"epochs": 20, "learning_rate": 0.05}
    head = train_head(task(work_on(taps=taps, **request), train, validation))

    assert (head.taps, head.info.features) == (taps, SMALL.feature_size_of(taps))
    assert head.info.kind == "layers"
    assert accuracy(*head.validated) > 0.8
    assert accuracy(answers_of(head, validation), validation.truth) > 0.8


@pytest.mark.parametrize(("taps", "tap"), [("last", 3), ("late", 1), ("all", 0)])
def test_layers_learn_from_the_taps_that_a_regression_does_best_with(work_on, taps, tap):
    train, validation = data(300, 0, (tap,)), data(240, 1, (tap,))
    head = train_head(task(work_on(epochs=20, learning_rate=0.05), train, validation))

    assert (head.taps, head.info.features) == (taps, SMALL.feature_size_of(taps))
    assert min(head.info.val_losses, key=head.info.val_losses.get) == taps
    assert accuracy(*head.validated) > 0.8
    assert all("learning_rate" in epoch for epoch in head.history)
