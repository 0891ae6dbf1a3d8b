"""The solved head tells which changes leave the meaning of images as it is."""

import hashlib

import keras
import numpy as np
import pytest

from trainer_service.backbones.features import FeatureStore
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.activations import Activations
from trainer_service.phases.tune.changes import harmless_changes, losses_of
from trainer_service.phases.tune.tail_data import TailAnswers, TailData

pytestmark = pytest.mark.slow

IMAGES = 40
TRUTH = np.arange(IMAGES) % 2
#: Brightness at the left and at the right: the label is the brighter side.
ROWS = np.stack([1 - TRUTH, TRUTH], axis=1) + np.random.default_rng(0).normal(0, 0.2, (IMAGES, 2))
HEAD = LinearHead(np.array([[4, -4], [-4, 4]], np.float32) / 2, np.zeros(2, np.float32))


@pytest.fixture(scope="module")
def answers():
    rows = keras.Input((2,))
    tail = keras.Model(rows, keras.layers.Rescaling(1.0)(rows))
    return TailAnswers(tail)


@pytest.fixture
def data(tmp_path):
    """Return stored rows of two views, of which the second is changed."""

    def data(name, changed):
        hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(IMAGES)]
        store = FeatureStore(tmp_path, name, "activations")
        for view, rows in enumerate((ROWS, changed)):
            store.write([f"{one}.{view}" for one in hashes], rows.astype(np.float32), 1.0)
        truth = dict(zip(hashes, TRUTH.tolist(), strict=True))
        return TailData(Activations(store, [hashes], 2), truth)

    return data


def test_what_the_head_does_not_know_any_more_is_not_allowed(answers, data):
    noise = np.random.default_rng(1).normal(0, 0.02, ROWS.shape)
    changed = {
        "mirror": data("mirror", ROWS[:, ::-1]),
        "crop": data("crop", ROWS + noise),
        "colour": data("colour", 0.8 * ROWS),
    }

    allowed = harmless_changes(answers, HEAD, data("plain", ROWS), changed, lambda: None)

    assert allowed == ["crop", "colour"]


def test_it_takes_more_than_a_few_images_to_allow_a_change(answers, data):
    """The losses rise by as much on average, but in the one case only that of a single image."""
    one, all_alike = ROWS.copy(), 0.55 * ROWS
    one[:1] = one[:1, ::-1]
    changed = {"crop": data("one", one), "colour": data("all", all_alike)}
    plain = losses_of(answers, HEAD, data("plain", ROWS), 0, lambda: None)
    rises = {
        change: np.mean([*losses_of(answers, HEAD, of, 1, lambda: None).values()])
        - np.mean([*plain.values()])
        for change, of in changed.items()
    }
    assert 0.08 < min(rises.values()) < max(rises.values()) < 0.108, "what is allowed at most"

    allowed = harmless_changes(answers, HEAD, data("plain", ROWS), changed, lambda: None)

    assert allowed == ["colour"]


def test_the_loss_is_that_of_the_view(answers, data):
    logits = ROWS.astype(np.float16).astype(np.float64) @ HEAD.kernel
    expected = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(IMAGES), TRUTH]).mean()
    both = data("both", ROWS[:, ::-1])

    plain, mirrored = (losses_of(answers, HEAD, both, view, lambda: None) for view in (0, 1))

    assert len(plain) == len(mirrored) == IMAGES
    assert np.mean([*plain.values()]) == pytest.approx(expected, rel=1e-4)
    assert np.mean([*mirrored.values()]) > 5 * expected


def test_the_comparison_can_be_cancelled(answers, data):
    def cancel():
        raise TrainingCancelled("x")

    with pytest.raises(TrainingCancelled):
        harmless_changes(answers, HEAD, data("plain", ROWS), {}, cancel)
