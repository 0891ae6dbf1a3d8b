"""The search for the best regression head: taps, strengths, folds and odd inputs."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from shared.errors import InvalidRequest
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.regression import design as designs
from trainer_service.phases.head.regression import effort
from trainer_service.phases.head.regression.folds import (
    hold_out,
    needs_cross_validation,
    stratified_folds,
)
from trainer_service.phases.head.regression.rows import Setup, ViewRows
from trainer_service.phases.head.regression.search import (
    STRENGTHS,
    search,
    solve_on_training,
)
from trainer_service.phases.head.regression.solver import losses, softmax

WIDTHS = [60, 30, 20]
TAP_SETS = {"last": 1, "late": 2, "all": 3}
KINDS = "none", "balanced"


def never():
    """Nobody cancels."""


def go_on(step):
    """Nobody stops."""
    return False


def examples(images, labels=3, seed=0, informative=(0, 1, 2)):
    """Images of which some taps tell the label, and none is sure."""
    random = np.random.default_rng(seed)
    truth = np.arange(images) % labels
    features = random.normal(size=(images, sum(WIDTHS)))
    starts = np.cumsum([0, *WIDTHS])
    for tap in informative:
        centres = np.random.default_rng(tap).normal(size=(labels, WIDTHS[tap]))
        features[:, starts[tap] : starts[tap + 1]] += 0.5 * centres[truth]
    features = features * np.repeat([0.1, 1, 20], WIDTHS) + 2
    return HeadData(features.astype(np.float32), truth)


def setup(train=300, validation=240, labels=3, **changes):
    informative = changes.pop("informative", (0, 1, 2))
    parts = {
        "train": examples(train, labels, 0, informative) if isinstance(train, int) else train,
        "validation": (
            examples(validation, labels, 1, informative)
            if isinstance(validation, int)
            else validation
        ),
        "labels": labels,
        "widths": WIDTHS,
        "tap_sets": TAP_SETS,
    }
    return Setup(**(parts | changes))


def probabilities(head, features):
    """What the folded weights make of raw features."""
    columns = features[:, -len(head.kernel) :].astype(np.float32)
    return softmax((columns @ head.kernel + head.bias).T).T


@pytest.mark.parametrize("most", [1536, 15])
def test_folded_weights_give_the_probabilities_that_were_judged(most, monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", most)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 5)
    question = setup()
    head = search(question, go_on, never)
    assert not head.cross_validated
    ours = probabilities(head, question.validation.features)
    np.testing.assert_allclose(ours, head.probabilities, rtol=0, atol=1e-4)
    chosen = min(head.path, key=lambda step: step.val_loss)
    right = np.log(ours[np.arange(240), question.validation.truth])
    assert (head.taps, head.strength) == (chosen.taps, chosen.strength)
    assert -right.mean() == pytest.approx(chosen.val_loss, abs=1e-3)
    assert (ours.argmax(axis=1) == question.validation.truth).mean() == pytest.approx(
        chosen.val_accuracy, abs=0.01
    )


def test_a_step_tells_how_good_it_is_on_what_it_was_solved_on():
    question = setup(informative=())
    head = search(question, go_on, never)
    chosen = min(head.path, key=lambda step: step.val_loss)
    ours, truth = probabilities(head, question.train.features), question.train.truth
    assert -np.log(ours[np.arange(300), truth]).mean() == pytest.approx(chosen.loss, abs=1e-3)
    assert (ours.argmax(axis=1) == truth).mean() == pytest.approx(chosen.accuracy, abs=0.01)
    assert chosen.accuracy > chosen.val_accuracy + 0.1, "else the comparison would say nothing"


@pytest.mark.parametrize(
    ("informative", "taps"), [((2,), "last"), ((1, 2), "late"), ((0, 1, 2), "all")]
)
def test_the_taps_that_tell_the_label_are_chosen(informative, taps):
    head = search(setup(informative=informative), go_on, never)
    assert head.taps == taps
    assert head.kernel.shape == (sum(WIDTHS[-TAP_SETS[taps] :]), 3)
    assert head.kernel.dtype == head.bias.dtype == np.float32


def test_the_path_goes_from_strong_to_weak_until_the_loss_has_turned():
    head = search(setup(informative=(2,)), go_on, never)
    assert [*dict.fromkeys(step.taps for step in head.path)] == ["last", "late", "all"]
    for taps in TAP_SETS:
        steps = [step for step in head.path if step.taps == taps]
        assert [step.strength for step in steps] == list(STRENGTHS[: len(steps)])
        assert [step.turned for step in steps] == [*[False] * (len(steps) - 1), True]
        assert steps[-1].val_loss > 1.02 * min(step.val_loss for step in steps)
        assert [step.loss for step in steps] == sorted((s.loss for s in steps), reverse=True)


@pytest.mark.parametrize("count", [1, 4])
def test_a_head_can_be_solved_again_on_the_training_images_alone(count):
    """With their views, if it was chosen with views."""
    question = setup(informative=(2,))
    if count > 1:  # views as good as further images
        views = views_of([question.train], count, lambda _, n: examples(300, 3, n, (2,)).features)
        question = setup(informative=(2,), views=views)
    chosen = search(question, go_on, never)
    assert chosen.views == count

    kernel, bias = solve_on_training(question, chosen.taps, chosen.strength, never)

    again = softmax((question.validation.features[:, -len(kernel) :] @ kernel + bias).T).T
    np.testing.assert_allclose(again, chosen.probabilities, atol=5e-3)


def test_solved_again_it_has_not_seen_the_validation_images():
    question = setup(40, 30)
    chosen = search(question, go_on, never)
    other = setup(40, HeadData(question.validation.features + 9, question.validation.truth))

    kernel, bias = solve_on_training(question, chosen.taps, chosen.strength, never)
    again, _ = solve_on_training(other, chosen.taps, chosen.strength, never)

    assert chosen.cross_validated
    np.testing.assert_array_equal(kernel, again)
    assert np.abs(kernel - chosen.kernel).max() > 0.05 * np.abs(kernel).max()
    assert (kernel.shape, bias.shape) == (chosen.kernel.shape, (3,))
    assert kernel.dtype == bias.dtype == np.float32


@pytest.mark.parametrize("images", [(40, 30), (300, 100)])
def test_few_images_are_cross_validated(images):
    question = setup(*images)
    head = search(question, go_on, never)
    assert head.cross_validated
    assert head.probabilities.shape == (sum(images), 3)
    truth = np.concatenate([question.train.truth, question.validation.truth])
    chosen = min(head.path, key=lambda step: step.val_loss)
    right = np.log(head.probabilities[np.arange(len(truth)), truth])
    assert -right.mean() == pytest.approx(chosen.val_loss, abs=1e-4)
    # Of several folds it tells the mean; no head is worse than the labels' shares.
    assert all(0 < step.loss < np.log(3) + 0.01 for step in head.path)
    assert all(0 < step.accuracy <= 1 for step in head.path)
    # The chosen head knows all images, so it must be better on them than those that do not.
    features = np.concatenate([question.train.features, question.validation.features])
    known = np.log(probabilities(head, features)[np.arange(len(truth)), truth])
    assert -known.mean() < chosen.val_loss


def test_out_of_fold_probabilities_are_those_of_heads_without_the_image():
    """With labels at random, a head that knew an image would do better than chance on it."""
    question = setup(60, 30, informative=())
    head = search(question, go_on, never)
    truth = np.concatenate([question.train.truth, question.validation.truth])
    assert (head.probabilities.argmax(axis=1) == truth).mean() < 0.55
    assert -np.log(head.probabilities[np.arange(90), truth]).mean() > np.log(3) - 0.1


def test_cross_validation_is_for_a_rare_label_or_few_validation_images():
    common, rare = np.repeat([0, 1], [50, 50]), np.repeat([0, 1], [5000, 49])
    many, few = np.zeros(200, np.int64), np.zeros(199, np.int64)
    assert not needs_cross_validation(common, many, 2)
    assert needs_cross_validation(rare, many, 2)
    assert needs_cross_validation(common, few, 2)


def test_folds_judge_each_row_once_and_deal_out_each_label():
    truth = np.repeat([0, 1, 2, 3], [103, 52, 4, 1])
    folds = stratified_folds(truth, seed=1)
    assert len(folds) == 5
    assert (np.sum([fold.judged for fold in folds], axis=0) == 1).all()
    for fold in folds:
        assert (fold.solved == ~fold.judged).all()
        counts = Counter(truth[fold.judged].tolist())
        assert counts[0] in {20, 21}
        assert counts[1] in {10, 11}
        assert counts[2] <= 1
    sizes = [np.count_nonzero(fold.judged) for fold in folds]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_those_of_the_seed():
    truth = np.arange(100) % 3
    one, same, other = (stratified_folds(truth, seed) for seed in (1, 1, 2))
    assert all((a.judged == b.judged).all() for a, b in zip(one, same, strict=True))
    assert any((a.judged != b.judged).any() for a, b in zip(one, other, strict=True))


def test_near_doubles_are_in_the_same_fold_and_all_others_where_they_were():
    truth = np.arange(100) % 3
    doubles = np.full(100, -1)
    doubles[[3, 50, 97]], doubles[[4, 5]] = 0, 1
    plain, grouped = stratified_folds(truth, 1), stratified_folds(truth, 1, doubles)

    assert (np.sum([fold.judged for fold in grouped], axis=0) == 1).all()
    for group in (0, 1):
        members = np.flatnonzero(doubles == group)
        assert sum(fold.judged[members].any() for fold in grouped) == 1
        assert sum(fold.judged[members].any() for fold in plain) > 1, "else nothing is shown"
    alone = doubles < 0
    for one, other in zip(plain, grouped, strict=True):
        assert (one.judged[alone] == other.judged[alone]).all()


def test_where_all_images_are_doubles_no_fold_is_without_any():
    folds = stratified_folds(np.arange(12) % 2, 0, np.arange(12) % 2)
    assert 1 <= len(folds) <= 2
    assert all(fold.judged.any() for fold in folds)


def test_a_hold_out_judges_by_the_validation_rows():
    fold = hold_out(2, 3)
    assert fold.solved.tolist() == [True, True, False, False, False]
    assert fold.judged.tolist() == [False, False, True, True, True]


@pytest.mark.parametrize("counts", [(1, 1), (3, 1), (18, 1, 1), (10, 10)])
def test_labels_of_one_or_two_images(counts):
    """A label's only image can be in no other fold than the one that judges by it."""
    truth = np.repeat(np.arange(len(counts)), counts)
    random = np.random.default_rng(0)
    features = (np.eye(3, 110)[:, ::-1][truth] * 9 + random.normal(size=(len(truth), 110))).astype(
        np.float32
    )
    empty = HeadData(np.empty((0, 110), np.float32), np.empty(0, np.int64))
    head = search(
        setup(train=HeadData(features, truth), validation=empty, labels=len(counts)),
        go_on,
        never,
    )
    assert head.cross_validated
    assert np.isfinite(head.kernel).all()
    assert head.probabilities.shape == (len(truth), len(counts))
    np.testing.assert_allclose(head.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (head.probabilities > 0).all()
    assert (probabilities(head, features).argmax(axis=1) == truth).mean() >= 0.9
    # What half an image is among those that were solved on, whatever the strength and the taps.
    lonely = [label for label, count in enumerate(counts) if count == 1]
    for label in lonely:
        unseen = head.probabilities[truth == label, label]
        assert 0.5 / (len(truth) + 1) < unseen < 0.5 / (len(truth) / 2)


def test_features_that_do_not_vary():
    question = setup()
    constant = HeadData(np.full_like(question.train.features, 7), question.train.truth)
    head = search(setup(train=constant), go_on, never)
    assert not head.kernel.any()
    shares = np.bincount(constant.truth) / len(constant.truth)
    np.testing.assert_allclose(np.exp(head.bias), shares, rtol=1e-4)


def test_a_tap_that_does_not_vary_beside_others_that_do():
    question = setup()
    for part in (question.train, question.validation):
        part.features[:, : WIDTHS[0]] = 5
    head = search(question, go_on, never)
    ours = probabilities(head, question.validation.features)
    np.testing.assert_allclose(ours, head.probabilities, rtol=0, atol=1e-4)


def test_balanced_weights_help_the_rare_label():
    question = setup(630, 240, informative=(2,))
    rare = (question.train.truth != 2) | (np.arange(630) < 153)
    train = HeadData(question.train.features[rare], question.train.truth[rare])
    truth = question.validation.truth

    def found(weights):
        head = search(setup(train=train, class_weights=weights, informative=(2,)), go_on, never)
        assert not head.cross_validated
        return (head.probabilities.argmax(axis=1)[truth == 2] == 2).mean()

    assert found("balanced") > found("none")


def test_balanced_weights_change_nothing_where_labels_are_balanced():
    """Also not how much the images count beside the penalty."""
    plain, balanced = (search(setup(class_weights=kind), go_on, never) for kind in KINDS)
    np.testing.assert_allclose(balanced.probabilities, plain.probabilities, atol=1e-5)
    for one, other in zip(balanced.path, plain.path, strict=True):
        assert one.val_loss == pytest.approx(other.val_loss, abs=1e-5)


@pytest.mark.parametrize("train", [300, 60])
@pytest.mark.parametrize("most", [1536, 15])
def test_the_same_seed_gives_the_same_head(train, most, monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", most)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 5)
    one, two = (search(setup(train), go_on, never) for _ in range(2))
    assert one.path == two.path
    np.testing.assert_array_equal(one.kernel, two.kernel)
    np.testing.assert_array_equal(one.probabilities, two.probabilities)


@pytest.mark.parametrize("train", [300, 60])
def test_asked_to_stop_it_returns_the_best_so_far(train):
    steps = []

    def stop(step):
        steps.append(step)
        return len(steps) == 2

    head = search(setup(train), stop, never)
    assert head.path == steps
    assert len(steps) == 2
    assert head.strength == min(steps, key=lambda step: step.val_loss).strength


@pytest.mark.parametrize("most", [1536, 15])
def test_cancelling_ends_the_search_wherever_it_is(most, monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", most)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 5)
    calls = 0

    def count():
        nonlocal calls
        calls += 1

    search(setup(), go_on, count)
    assert calls > 100
    for cancelled_at in (1, 2, 3, 5, calls // 2, calls):
        left = cancelled_at

        def check():
            nonlocal left
            left -= 1
            if left == 0:
                raise TrainingCancelled

        designs._known.clear()
        with pytest.raises(TrainingCancelled):
            search(setup(), go_on, check)
        assert left == 0


def test_features_that_are_no_numbers_are_refused():
    question = setup()
    question.train.features[4, 2] = np.nan
    question.train.features[5, 3] = np.inf
    with pytest.raises(InvalidRequest, match=r"Received: 2 of 110 features that are not"):
        search(question, go_on, never)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": [10, 30]}, r"Expected training features of shape \(300, 40\)"),
        ({"tap_sets": {"every": 4}}, r"Expected 1 to 3 taps in the set 'every'. Received: 4"),
        ({"doubles": np.zeros(7, int)}, "groups of 540 images"),
        ({"tap_sets": {}}, "Expected a set of taps"),
        ({"labels": 2}, "Expected truth from 0 to 1. Received: 0 to 2"),
        ({"labels": 4}, "Received none of label 3"),
    ],
)
def test_a_setup_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        search(Setup(**({**vars_of(setup()), **changes})), go_on, never)


def vars_of(question):
    return {name: getattr(question, name) for name in Setup.__dataclass_fields__}


def test_the_loss_of_a_row_is_minus_the_logarithm_of_its_probability():
    logits = np.array([[1, 900], [2, -900]], np.float32)
    truth = np.array([1, 0])
    np.testing.assert_allclose(losses(logits, truth), [np.log1p(np.exp(-1)), 0], atol=1e-6)


def views_of(parts, count, change=lambda rows, number: rows, images=None):
    """Further views of the images of some parts, or of those of them that are given."""
    features = np.concatenate([part.features for part in parts])
    images = np.arange(len(features)) if images is None else np.array(images)
    rows = np.concatenate([change(features[images], number) for number in range(1, count)])
    return ViewRows(count, np.tile(images, count - 1), lambda width: rows[:, -width:])


def by_views(head):
    return {
        views: [step for step in head.path if step.views == views and step.taps == head.taps]
        for views in (1, 4)
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("images", [None, range(0, 300, 3)])
def test_an_image_counts_the_same_whether_it_has_views_or_not(kind, images):
    """So views that look like their image change nothing."""
    question = setup(class_weights=kind)
    train = HeadData(question.train.features, np.repeat([0, 1, 2], [60, 80, 160]))
    views = views_of([train], 4, images=images)
    head = search(setup(train=train, class_weights=kind, views=views), go_on, never)

    steps = by_views(head)
    assert len(steps[4]) == len(steps[1]) > 3
    for with_views, without in zip(steps[4], steps[1], strict=True):
        assert with_views.strength == without.strength
        # The scale is that of all rows alike, which makes a small difference.
        assert with_views.val_loss == pytest.approx(without.val_loss, abs=4e-3)
        assert with_views.loss == pytest.approx(without.loss, abs=4e-3)
        assert with_views.accuracy == pytest.approx(without.accuracy, abs=0.01)


@pytest.mark.parametrize("most", [1536, 15])
@pytest.mark.parametrize("sizes", [(300, 240), (90, 60)])
def test_views_are_used_where_they_lower_the_loss(most, sizes, monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", most)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 5)
    question = setup(*sizes, informative=(2,))
    plain = search(question, go_on, never)
    parts = [question.train, question.validation][: 1 + plain.cross_validated]

    def other_examples(rows, number):
        """As good as further images."""
        drawn = [
            examples(len(part.truth), 3, 10 * number + place, (2,)).features
            for place, part in enumerate(parts)
        ]
        return np.concatenate(drawn)

    views = views_of(parts, 4, other_examples)
    head = search(setup(*sizes, informative=(2,), views=views), go_on, never)

    assert head.cross_validated == (sizes == (90, 60))
    assert (head.views, plain.views) == (4, 1)
    assert head.path[: len(plain.path)] == plain.path
    least = min(step.val_loss for step in head.path)
    assert least < min(step.val_loss for step in plain.path) - 0.01
    truth = np.concatenate([part.truth for part in (question.train, question.validation)])
    truth = truth if head.cross_validated else question.validation.truth
    assert head.probabilities.shape == (len(truth), 3)
    right = np.log(head.probabilities[np.arange(len(truth)), truth])
    assert -right.mean() == pytest.approx(least, abs=1e-3)
    if not head.cross_validated:
        ours = probabilities(head, question.validation.features)
        np.testing.assert_allclose(ours, head.probabilities, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sizes", [(300, 240), (90, 60)])
def test_views_that_mislead_are_tried_and_left_out(sizes):
    question = setup(*sizes)
    plain = search(question, go_on, never)
    parts = [question.train, question.validation][: 1 + plain.cross_validated]
    misleading = views_of(parts, 4, lambda rows, number: np.roll(rows, 1, axis=0))
    head = search(setup(*sizes, views=misleading), go_on, never)

    steps = by_views(head)
    assert {step.views for step in steps[4]} == {4}
    assert [step.strength for step in steps[4]] == list(STRENGTHS[: len(steps[4])])
    assert (head.views, head.taps, head.strength) == (1, plain.taps, plain.strength)
    np.testing.assert_array_equal(head.kernel, plain.kernel)
    np.testing.assert_array_equal(head.probabilities, plain.probabilities)


def test_a_view_goes_where_its_image_goes():
    """With labels at random, a head that knew a view of an image would know the image."""
    question = setup(60, 30, informative=())
    views = views_of([question.train, question.validation], 4)
    head = search(setup(60, 30, informative=(), views=views), go_on, never)
    steps = by_views(head)
    assert len(steps[4]) > 1
    assert all(step.val_loss > np.log(3) - 0.1 for step in steps[4])
    assert all(step.val_accuracy < 0.55 for step in steps[4])


def test_views_are_read_once_and_for_the_best_taps_alone():
    question = setup(informative=(1, 2))
    views, widths = views_of([question.train], 2), []

    def read(width):
        widths.append(width)
        return views.read(width)

    known = ViewRows(2, views.images, read)
    head = search(setup(informative=(1, 2), views=known), go_on, never)
    assert (head.taps, widths) == ("late", [50])
    search(setup(informative=(1, 2), views=known), lambda step: True, never)
    assert widths == [50], "asked to stop, it begins nothing more"


@pytest.mark.parametrize(("train", "last"), [(300, 299), (60, 299)])
def test_views_of_images_that_are_not_learnt_from_are_refused(train, last):
    question = setup(train, 240)
    views = views_of([question.train, question.validation], 2)
    further = ViewRows(2, np.append(views.images, last + 1), views.read)
    with pytest.raises(ValueError, match=f"views of images from 0 to {last}"):
        search(setup(train, 240, views=further), go_on, never)


def test_many_features_are_not_copied(monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", 128)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 32)
    random = np.random.default_rng(0)
    parts = [
        HeadData(random.standard_normal((rows, 2000), np.float32), np.arange(rows) % 2)
        for rows in (8000, 500)
    ]
    question = Setup(*parts, labels=2, widths=[500, 1500], tap_sets={"last": 1, "all": 2})
    steps = []

    def stop(step):
        steps.append(step)
        return step.taps == "all"

    tracemalloc.start()
    try:
        search(question, stop, never)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(steps) > 1
    assert peak < 50e6  # two blocks of rows in float64; a copy in float32 would take 64 MB alone


@pytest.mark.parametrize("images", [(40, 30), (300, 240)], ids=["cross-validated", "held out"])
def test_a_search_that_would_take_too_long_is_cut_short(images, monkeypatch):
    """Of all taps the strongest penalty is tried, and the best head so far is solved."""
    question = setup(*images)
    whole = search(question, go_on, never)
    monkeypatch.setattr(effort, "AT_LEAST", 1e5)
    monkeypatch.setattr(effort, "FOR_EACH_IMAGE", 1e3)
    head = search(question, go_on, never)

    assert not any(step.cut_short for step in whole.path)
    assert len(head.path) < len(whole.path)
    for taps in TAP_SETS:
        steps = [step for step in head.path if step.taps == taps]
        assert steps[-1].cut_short
        assert steps[0].strength == STRENGTHS[0]
    assert (head.taps, head.strength) in {(step.taps, step.strength) for step in head.path}
    ours = probabilities(head, question.validation.features)
    assert (ours.argmax(axis=1) == question.validation.truth).mean() > 0.5


def multiplications(labels, monkeypatch):
    """Search heads of three images of each label, and return how many numbers were multiplied."""
    counted = 0
    for name in ("products", "sums"):
        whole = getattr(designs.Rotated, name)

        def count(self, factors, check, whole=whole):
            nonlocal counted
            counted += len(factors) * self.rows * self.size
            return whole(self, factors, check)

        monkeypatch.setattr(designs.Rotated, name, count)
    question = setup(2 * labels, labels, labels=labels, informative=())
    search(question, go_on, never)
    monkeypatch.undo()
    return counted


def test_the_work_grows_with_the_images_and_not_with_the_labels_too(monkeypatch):
    """Without a bound it takes 10 million multiplications for each image, and twice for 400."""
    monkeypatch.setattr(effort, "AT_LEAST", 0)
    monkeypatch.setattr(effort, "FOR_EACH_IMAGE", 4e6)

    assert multiplications(200, monkeypatch) < 4e6 * 600


def test_few_scores_are_kept_of_the_folds():
    """Each fold once held those of all images: with 2,000 labels, gigabytes."""
    labels = 400
    question = setup(2 * labels, labels, labels=labels, tap_sets={"last": 1})
    array = labels * 3 * labels * 4
    tracemalloc.start()
    search(question, lambda _: True, never)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 12 * array


def test_views_are_not_copied(monkeypatch):
    monkeypatch.setattr(designs, "MOST_DECOMPOSED", 128)
    monkeypatch.setattr(designs, "SAMPLED_ROWS", 50)
    monkeypatch.setattr(designs, "KNOWN_DIRECTIONS", 32)
    random = np.random.default_rng(0)
    parts = [
        HeadData(random.standard_normal((rows, 2000), np.float32), np.arange(rows) % 2)
        for rows in (2000, 500)
    ]
    views = views_of(parts[:1], 4, lambda rows, number: rows + np.float32(number))
    question = Setup(*parts, labels=2, widths=[500, 1500], tap_sets={"all": 2}, views=views)
    tracemalloc.start()
    try:
        head = search(question, lambda step: step.views == 4, never)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert head.path[-1].views == 4
    assert peak < 45e6  # two blocks of rows in float64; the views take 48 MB alone


def test_what_can_not_be_cancelled_waits_for_no_other_thread(monkeypatch):
    whole, threads = np.linalg.eigh, []

    def decompose(matrix):
        threads.extend(
            pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        )
        return whole(matrix)

    monkeypatch.setattr(np.linalg, "eigh", decompose)
    with threadpool_limits(2, user_api="blas"):
        search(setup(), go_on, never)

    assert len(threads) >= 3
    assert set(threads) == {1}


@pytest.mark.parametrize("images", [(40, 30), (300, 240)], ids=["cross-validated", "held out"])
def test_a_search_stops_in_the_middle_of_a_strength(images):
    """With thousands of labels, a strength takes minutes."""
    steps, asked = [], []

    def stops():
        asked.append(len(steps))
        return len(asked) > 3

    head = search(setup(*images), lambda step: bool(steps.append(step)), never, stops)

    assert asked == [1, 1, 1, 1]
    assert head.path == steps
    assert (head.taps, head.strength) == (steps[0].taps, steps[0].strength)
