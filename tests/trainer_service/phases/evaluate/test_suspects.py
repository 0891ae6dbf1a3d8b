"""Images whose label the others contradict."""

from dataclasses import replace

import numpy as np
import pytest

from trainer_service.phases.evaluate.suspects import contradicted
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.regression import out_of_fold
from trainer_service.phases.head.regression.out_of_fold import answer_out_of_fold
from trainer_service.phases.head.regression.rows import Setup
from trainer_service.phases.head.regression.search import STRENGTHS

CAT, DOG, OWL = range(3)


def images(*rows):
    """Return the probabilities and labels of images: pairs of label and probabilities."""
    labels, probabilities = zip(*rows, strict=True)
    return np.array(probabilities, np.float32), np.array(labels)


def test_a_label_is_contradicted_by_one_that_is_as_sure_as_of_its_own_images():
    found = contradicted(
        *images(
            (CAT, (0.9, 0.1)),
            (CAT, (0.8, 0.2)),
            (CAT, (0.1, 0.9)),
            (DOG, (0.2, 0.8)),
            (DOG, (0.3, 0.7)),
            (CAT, (0.4, 0.6)),
        )
    )
    # A dog is 75 % sure on average, so 60 % say little.
    assert found.places.tolist() == [2]
    assert found.proposed.tolist() == [DOG]


def test_as_many_are_suspected_as_the_confident_ones_make_likely():
    """A fifth of the cats of which a label is confident are dogs to it, so two of ten are."""
    sure, unsure = [(CAT, (0.9, 0.1))] * 4, [(CAT, (0.6, 0.4))] * 4
    wrong = [(CAT, (0.05, 0.95)), (CAT, (0.4, 0.6))]
    found = contradicted(*images(*sure, *unsure, *wrong, *[(DOG, (0.2, 0.8))] * 4))
    assert found.places.tolist() == [8, 9]


def test_the_clearest_contradictions_come_first():
    cats = [(CAT, (p, 1 - p)) for p in (0.99, 0.99, 0.99, 0.15, 0.01, 0.1)]
    found = contradicted(*images(*cats, (DOG, (0.2, 0.8)), (DOG, (0.2, 0.8)), (DOG, (0.9, 0.1))))
    assert found.places.tolist() == [4, 5, 8, 3]
    assert found.proposed.tolist() == [DOG, DOG, CAT, DOG]


def test_a_label_that_is_hard_to_tell_speaks_at_its_own_measure():
    """Owls are never more than half sure, so half sure is enough for one."""
    owls = [(OWL, (0.25, 0.25, 0.5))] * 4
    cats = [(CAT, (0.98, 0.01, 0.01))] * 4
    found = contradicted(*images(*owls, *cats, (CAT, (0.1, 0.4, 0.5)), (DOG, (0, 1, 0))))
    assert found.places.tolist() == [8]
    assert found.proposed.tolist() == [OWL]


def test_what_is_taken_for_its_own_label_is_no_suspect():
    """Of a rare label even little probability is much."""
    rare = [(OWL, (0.6, 0, 0.4)), (OWL, (0.9, 0, 0.1))]
    found = contradicted(*images(*rare, (CAT, (0.7, 0, 0.3)), (CAT, (1, 0, 0)), (DOG, (0, 1, 0))))
    assert 2 not in found.places


def test_an_image_alone_with_its_label_is_not_judged():
    found = contradicted(*images(*[(CAT, (0.9, 0.1))] * 3, (DOG, (0.99, 0.01))))
    assert found.places.tolist() == []


def test_many_images_are_compared_in_their_places(monkeypatch):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), 500).astype(np.float32)
    truth = random.integers(0, 4, 500)
    whole = contradicted(probabilities, truth)
    monkeypatch.setattr("trainer_service.phases.evaluate.suspects._ROWS_AT_ONCE", 64)
    pieces = contradicted(probabilities, truth)

    assert len(whole.places) > 50
    np.testing.assert_array_equal(whole.places, pieces.places)
    np.testing.assert_array_equal(whole.proposed, pieces.proposed)


def setup(features, truth, labels):
    data = HeadData(features.astype(np.float32), truth)
    none = HeadData(data.features[:0], truth[:0])
    width = features.shape[1]
    return Setup(data, none, labels, (width,), {"last": 1})


def noisy(seed=0, each=80, labels=4, share=0.05):
    """Return images in clusters, of which some have a wrong label: a setup, and which these are."""
    random = np.random.default_rng(seed)
    right = np.repeat(np.arange(labels), each)
    features = random.normal(size=(len(right), 30)) + 8 * np.eye(labels, 30)[right]
    wrong = random.choice(len(right), round(share * len(right)), replace=False)
    truth = right.copy()
    truth[wrong] = (truth[wrong] + random.integers(1, labels, len(wrong))) % labels
    return setup(features, truth, labels), right, set(wrong.tolist())


@pytest.mark.parametrize("strengths", [(0.004,), STRENGTHS])
def test_wrong_labels_are_found_and_the_right_ones_proposed(strengths):
    task, right, wrong = noisy()
    answered = answer_out_of_fold(task, strengths, lambda: None)
    found = contradicted(answered.probabilities, task.train.truth)

    hits = [place for place in found.places if place in wrong]
    assert len(hits) >= 0.8 * len(wrong)
    assert len(hits) >= 0.6 * len(found.places)
    proposed = dict(zip(found.places, found.proposed, strict=True))
    assert [proposed[place] for place in hits] == [right[place] for place in hits]
    assert not answered.cut_short


@pytest.mark.parametrize("effort", [1.0, 1e-9])
def test_no_image_is_answered_by_a_head_that_knows_its_label(monkeypatch, effort):
    """Labels that are drawn can't be told: whoever is right about them has learnt them by heart."""
    monkeypatch.setattr(out_of_fold, "PART_OF_A_SEARCH", effort)
    random = np.random.default_rng(1)
    truth = np.repeat([0, 1], 150)
    task = setup(random.normal(size=(300, 400)), truth, 2)
    answered = answer_out_of_fold(task, (0.001,), lambda: None)

    right = (answered.probabilities.argmax(axis=1) == truth).mean()
    assert 0.35 < right < 0.65
    assert answered.cut_short is (effort < 1)
    np.testing.assert_allclose(answered.probabilities.sum(axis=1), 1, atol=1e-4)


def test_the_twin_of_an_image_does_not_vouch_for_its_wrong_label():
    """A photograph that is there twice, both times with the same wrong label."""
    task, right, wrong = noisy(each=40)
    features, truth = (
        np.concatenate([one, one]) for one in (task.train.features, task.train.truth)
    )
    alone = setup(features, truth, 4)
    groups = replace(alone, doubles=np.tile(np.arange(len(right)), 2))
    rows = [place for place in range(len(truth)) if place % len(right) in wrong]
    answers = [
        answer_out_of_fold(one, (0.004,), lambda: None).probabilities[rows, truth[rows]].mean()
        for one in (alone, groups)
    ]

    assert answers[1] < answers[0] / 2


def test_other_images_are_answered_in_the_coordinates_of_those_for_training():
    task, right, _ = noisy()
    order = np.random.default_rng(0).permutation(len(right))
    train, others = (
        HeadData(task.train.features[part], task.train.truth[part])
        for part in np.split(order, [200])
    )
    divided = replace(task, train=train, validation=others)
    answers = answer_out_of_fold(divided, (0.0625,), lambda: None).probabilities

    assert (answers.argmax(axis=1) == right[order]).mean() > 0.95
    several = answer_out_of_fold(replace(divided, threads=3), (0.0625,), lambda: None)
    np.testing.assert_array_equal(several.probabilities, answers)


def test_the_best_strength_is_chosen_and_kept():
    """Without it, the answers are as unsure as the strongest head is."""
    task, *_ = noisy()
    weak = answer_out_of_fold(task, (0.0625,), lambda: None).probabilities.max(axis=1).mean()
    strong = answer_out_of_fold(task, (16.0,), lambda: None).probabilities.max(axis=1).mean()
    chosen = answer_out_of_fold(task, (16.0, 1.0, 0.0625), lambda: None).probabilities
    assert strong + 0.05 < chosen.max(axis=1).mean() <= weak + 0.05


def test_a_cancelled_training_is_noticed():
    task, *_ = noisy()

    def cancelled():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_out_of_fold(task, (1.0,), cancelled)


@pytest.mark.parametrize("is_drawn", [False, True], ids=["all alike", "drawn"])
@pytest.mark.parametrize("labels", [3, 200])
def test_where_nothing_can_be_told_no_label_is_contradicted(labels, is_drawn):
    truth = np.repeat(np.arange(labels), 3)
    features = np.random.default_rng(0).normal(size=(len(truth), 20)) * is_drawn
    answered = answer_out_of_fold(setup(features, truth, labels), STRENGTHS, lambda: None)

    assert contradicted(answered.probabilities, truth).places.tolist() == []
