"""The best epoch is the one whose weights Keras' own `EarlyStopping` would restore."""

import pytest

from trainer_service.phases.head.layers.best_epoch import BestEpoch
from trainer_service.requests.training import EarlyStopping, TrainingRequest

CASES = pytest.mark.parametrize(
    ("losses", "min_delta", "best", "epochs"),
    [
        ([0.9, 0.5, 0.6, 0.7, 0.8], 0.0, 2, 4),
        ([0.9, 0.5, 0.45, 0.6], 0.1, 2, 4),
        ([0.9, 0.9, 0.9, 0.9], 0.0, 1, 3),
        ([0.9, 0.95, 0.8, 0.85, 0.7, 0.6], 0.0, 6, 6),
        ([0.5, float("nan"), 0.6, 0.4], 0.0, 1, 3),
    ],
)


def follow(request, metric, values):
    """Return the number of the best epoch, and the number of epochs until patience ended."""
    best = BestEpoch.of(request)
    for number, value in enumerate(values, start=1):
        best.improves(number, {metric: value})
        if best.exhausted:
            break
    return best.number, number


@CASES
def test_of_the_loss_the_lowest_is_best(losses, min_delta, best, epochs):
    stopping = EarlyStopping(metric="val_loss", min_delta=min_delta, patience=2)
    request = TrainingRequest(early_stopping=stopping)
    assert follow(request, "val_loss", losses) == (best, epochs)


@CASES
@pytest.mark.slow
def test_keras_restores_the_same_epoch_and_ends_at_the_same(losses, min_delta, best, epochs):
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = keras.callbacks.EarlyStopping(
        "val_loss", min_delta=min_delta, mode="min", patience=2, restore_best_weights=True
    )
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    for number, loss in enumerate(losses, start=1):
        model.set_weights([keras.ops.full((1, 1), number)])
        callback.on_epoch_end(number - 1, {"val_loss": loss})
        if model.stop_training:
            break
    callback.on_train_end()
    assert (int(model.get_weights()[0][0, 0]), number) == (best, epochs)


def test_of_the_accuracy_the_highest_is_best():
    stopping = EarlyStopping(metric="val_accuracy", patience=5)
    request = TrainingRequest(early_stopping=stopping)
    assert follow(request, "val_accuracy", [0.5, 0.9, 0.8]) == (2, 3)


def test_without_early_stopping_no_epoch_is_the_last():
    request = TrainingRequest(epochs=20, early_stopping="off")
    assert follow(request, "val_loss", [0.1] + [1.0] * 19) == (1, 20)
