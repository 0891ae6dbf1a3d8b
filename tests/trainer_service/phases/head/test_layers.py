"""Head training, with real Keras on small features."""

import subprocess
import sys

import numpy as np
import pytest

from shared.errors import InvalidRequest
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.layers.train import build_head, class_weights, train_layers
from trainer_service.requests.training import EarlyStopping, TrainingRequest

pytestmark = pytest.mark.slow

LABELS = ["a", "b", "c"]


def data(images, seed=0, scale=1.0):
    """Three well separated clouds of points."""
    random = np.random.default_rng(seed)
    truth = np.arange(images) % 3
    features = np.eye(3, 8)[truth] * 6 + random.normal(size=(images, 8))
    return HeadData((features * scale).astype(np.float32), truth)


def train(request, images=90, on_epoch=lambda epoch, logs: False, scale=1.0):
    validation = data(60, seed=1, scale=scale)
    return train_layers(data(images, scale=scale), validation, LABELS, request, on_epoch)


def accuracy(head, scale=1.0):
    test = data(60, seed=2, scale=scale)
    return (np.asarray(head.model(test.features)).argmax(axis=1) == test.truth).mean()


def as_trained(head, features):
    """The probabilities of the epoch that was kept, before they were divided by a temperature."""
    powers = np.asarray(head.model(features), np.float64) ** head.temperature
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_scale_is_the_average_variance_of_all_features():
    features = np.random.default_rng(0).normal(3, [1, 2, 5], (2500, 3)).astype(np.float32)
    scale = build_head(features, 3, TrainingRequest()).get_layer("scale")
    np.testing.assert_allclose(scale.variance, features.var(axis=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(scale.mean, [features.mean(axis=0)], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_defaults_learn_whatever_the_scale_of_the_features(scale):
    assert accuracy(train(TrainingRequest(), images=600, scale=scale), scale) > 0.95


@pytest.mark.parametrize("schedule", ["exponential", "polynomial", "cosine"])
def test_every_schedule_lowers_the_learning_rate_and_learns(schedule):
    request = TrainingRequest(
        learning_rate_schedule=schedule, learning_rate=0.05, epochs=20, early_stopping="off"
    )
    head = train(request)

    rates = [epoch["learning_rate"] for epoch in head.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.05 * 0.01, rel=0.1)
    assert accuracy(head) > 0.9


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns(optimizer):
    head = train(TrainingRequest(optimizer=optimizer, learning_rate=0.01, epochs=20))
    assert accuracy(head) > 0.9


def test_a_hidden_layer_is_one_more_dense_layer():
    head = train(TrainingRequest(hidden_units=16, epochs=20, learning_rate=0.01))

    assert head.model.get_layer("hidden").units == 16
    assert accuracy(head) > 0.9


def test_the_same_seed_gives_the_same_head_and_another_seed_another():
    request = TrainingRequest(epochs=3)
    first, again, other = (
        train(request),
        train(request),
        train(TrainingRequest(epochs=3, seed=1)),
    )
    assert first.history == again.history
    assert first.history != other.history


def test_fewer_images_than_a_batch_are_enough():
    head = train(TrainingRequest(batch_size=512, learning_rate=0.05), images=9)

    assert head.history[-1]["accuracy"] == 1.0
    assert accuracy(head) > 0.6


def test_early_stopping_ends_and_restores_the_best_weights():
    stopping = EarlyStopping(metric="val_accuracy", patience=2)
    head = train(TrainingRequest(epochs=200, learning_rate=0.01, early_stopping=stopping))
    validation = data(60, seed=1)
    predicted = np.asarray(head.model(validation.features)).argmax(axis=1)

    best = max(epoch["val_accuracy"] for epoch in head.history)
    assert len(head.history) < 200
    assert head.history[head.best_epoch - 1]["val_accuracy"] == best
    assert (predicted == validation.truth).mean() == pytest.approx(best)


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_an_improvement_that_no_epoch_can_bring_ends_it_when_patience_does(metric):
    stopping = EarlyStopping(metric=metric, min_delta=1e308, patience=2)
    assert len(train(TrainingRequest(epochs=9, early_stopping=stopping)).history) == 3


def test_without_early_stopping_every_epoch_is_run_and_reported():
    seen = []
    head = train(
        TrainingRequest(epochs=12, early_stopping="off"),
        on_epoch=lambda epoch, logs: seen.append((epoch, logs)) or False,
    )
    assert [epoch for epoch, _ in seen] == list(range(1, 13))
    assert [logs for _, logs in seen] == head.history
    assert head.best_epoch == 12
    assert set(head.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}


@pytest.mark.parametrize("early_stopping", ["off", EarlyStopping(patience=50)])
def test_stopped_it_has_the_weights_of_the_best_epoch_so_far(early_stopping):
    """Where labels are wrong, a head that grows surer of itself grows worse."""
    request = TrainingRequest(epochs=40, learning_rate=0.3, early_stopping=early_stopping)
    validation = data(60, seed=1)
    validation.truth[::4] = 0
    head = train_layers(data(90), validation, LABELS, request, lambda epoch, logs: epoch == 12)
    probabilities = as_trained(head, validation.features)
    loss = -np.log(np.clip(probabilities[np.arange(60), validation.truth], 1e-7, 1)).mean()

    losses = [epoch["val_loss"] for epoch in head.history]
    assert len(losses) == 12
    assert losses[-1] > min(losses)
    assert loss == pytest.approx(min(losses), rel=1e-3)


def test_what_the_epoch_callback_raises_ends_the_training():
    def cancel(epoch, logs):
        raise TrainingCancelled("enough")

    with pytest.raises(TrainingCancelled):
        train(TrainingRequest(), on_epoch=cancel)


def test_a_loss_that_is_no_number_is_named_as_such():
    broken = data(90)
    broken.features[0] = np.nan

    with pytest.raises(InvalidRequest, match=r"no longer a number.*learning_rate.*Received: 0\.5"):
        train_layers(
            broken, broken, LABELS, TrainingRequest(learning_rate=0.5), lambda epoch, logs: False
        )


def test_balanced_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    truth = np.array([0] * 6 + [1] * 3 + [2])
    weights = class_weights(truth, 3, TrainingRequest(class_weights="balanced"))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=truth)

    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    np.testing.assert_array_equal(class_weights(truth, 3, TrainingRequest()), 1)


def test_balanced_class_weights_raise_the_recall_of_a_rare_label():
    random = np.random.default_rng(0)
    truth = np.array([0] * 300 + [1] * 15)
    features = (random.normal(size=(315, 4)) + truth[:, None]).astype(np.float32)
    both = HeadData(features, truth)
    recalls = []
    for weights in ("none", "balanced"):
        request = TrainingRequest(class_weights=weights, epochs=30, learning_rate=0.01)
        head = train_layers(both, both, ["a", "b"], request, lambda epoch, logs: False)
        predicted = np.asarray(head.model(features)).argmax(axis=1)
        recalls.append(predicted[truth == 1].mean())
    assert recalls[1] > recalls[0] + 0.1


FIRST_USE = """
import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
from shared.engines.tensorflow_engine import import_tensorflow

tf = import_tensorflow()  # as a worker does beforehand
import keras
from tensorflow.python.eager import context

from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.phases.head import train
from trainer_service.phases.head.data import HeadData
from trainer_service.requests.training import TrainingRequest

grown = []
list_devices = tf.config.list_physical_devices
tf.config.list_physical_devices = lambda kind=None: [kind] if kind == "GPU" else list_devices(kind)


def set_memory_growth(device, enable):
    grown.append((device, enable, context.context()._context_handle is None))


tf.config.experimental.set_memory_growth = set_memory_growth
train.HeadProgress = MagicMock()
part = HeadData(np.eye(3, 1280, dtype=np.float32), np.arange(3))
work = SimpleNamespace(
    worker=MagicMock(threads=3),
    check_cancelled=lambda: None,
    record=SimpleNamespace(id="x", request=TrainingRequest(head=sys.argv[1], taps="last")),
)
train.train_head(
    train.HeadTask(work, CATALOGUE["mobilenet_v2"], part, part, ["a", "b", "c"])
)
threading = tf.config.threading
print(
    grown[0],
    threading.get_intra_op_parallelism_threads(),
    threading.get_inter_op_parallelism_threads(),
)
"""


@pytest.mark.parametrize("head", ["regression", "layers"])
def test_the_head_phase_as_the_first_use_of_tensorflow_is_given_its_threads_and_memory(head):
    """And before anything has been computed, after which it would be without effect."""
    answer = subprocess.run(
        [sys.executable, "-c", FIRST_USE, head], check=False, capture_output=True, text=True
    )

    assert answer.stdout.strip() == "('GPU', True, True) 3 3", answer.stderr


def test_layers_that_are_too_sure_of_themselves_are_cooled_down():
    """A quarter of the labels is wrong, so no label has more than about three quarters."""
    request = TrainingRequest(epochs=60, learning_rate=0.1, early_stopping="off")
    validation, test = data(300, seed=1), data(300, seed=2)
    validation.truth[::4], test.truth[::4] = 0, 0
    head = train_layers(data(90), validation, LABELS, request, lambda epoch, logs: False)

    def loss(probabilities):
        return -np.log(np.clip(probabilities[np.arange(300), test.truth], 1e-7, 1)).mean()

    assert head.temperature > 1.5
    assert loss(np.asarray(head.model(test.features))) < loss(as_trained(head, test.features)) - 0.1
