"""The head phase: a small classifier trained on bottleneck features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.engines.tensorflow_engine import load_tensorflow
from shared.errors import InvalidRequest
from trainer_service.backbones.features import Features
from trainer_service.schemas import EarlyStopping, TrainingRequest

Truth = npt.NDArray[np.int64]

#: Features that do not vary at all must not be divided by zero.
SMALLEST_VARIANCE = 1e-12

#: No metric ever improves by so much; Keras takes no number that float32 has not.
LARGEST_DELTA = 1e30

#: Rows of features that are looked at together, in float64.
ROWS_AT_ONCE = 1024

#: Share of the learning rate that the decaying schedules end at.
FINAL_LEARNING_RATE = 0.01


@dataclass(frozen=True, slots=True)
class HeadData:
    """Features, float32 (n, feature_size), and label indices, int64 (n,), of one split."""

    features: Features
    truth: Truth


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """The head with its best weights, and per epoch what Keras logged.

    Attributes:
        model: a `keras.Model`, float32 (n, feature_size) to probabilities float32 (n, labels).
        history: loss, accuracy, val_loss, val_accuracy and learning_rate of each epoch.
    """

    model: Any
    history: list[dict[str, float]]


def train_head(
    train: HeadData,
    validation: HeadData,
    labels: Sequence[str],
    request: TrainingRequest,
    on_epoch: Callable[[int, dict[str, float]], bool],
) -> TrainedHead:
    """Train a head; the same seed and features give the same head.

    Args:
        train: what is learnt from.
        validation: what early stopping looks at; never learnt from.
        labels: in the order of the outputs.
        request: epochs, batch size, optimizer and so on.
        on_epoch: called after each epoch with its number, from 1, and its logs; whether to stop
            here, with the weights of the best epoch so far. What it raises ends the training.

    Raises:
        InvalidRequest: the loss ceased to be a number.
    """
    load_tensorflow()
    import keras

    from trainer_service.phases.head.epoch_loop import EpochLoop
    from trainer_service.phases.head.epoch_reporter import EpochReporter

    keras.utils.set_random_seed(request.seed)
    model = build_head(train.features, len(labels), request)
    weights = class_weights(train.truth, len(labels), request)
    steps = -(-len(train.truth) // request.batch_size)
    model.compile(_optimizer(request, steps))
    loop = EpochLoop(model, train, validation, weights, request)
    reporter = EpochReporter(on_epoch)
    best = _best_epoch(request)
    callbacks = keras.callbacks.CallbackList([best, reporter], model=model)
    model.stop_training = False
    callbacks.on_train_begin()
    for epoch in range(request.epochs):
        callbacks.on_epoch_end(epoch, loop.run())
        if model.stop_training:
            break
    # Without early stopping the last epoch counts, unless it never came to that.
    stopped = len(reporter.history) < request.epochs
    best.restore_best_weights = stopped or request.early_stopping != "off"
    callbacks.on_train_end()
    if not np.isfinite(reporter.history[-1]["loss"]):
        raise InvalidRequest(
            "The loss is no longer a number: expected a learning_rate that converges. "
            f"Received: {request.learning_rate}"
        )
    return TrainedHead(model, reporter.history)


def build_head(features: Features, labels: int, request: TrainingRequest) -> Any:
    """Return an untrained head that centres its input and brings it to unit average variance.

    Backbones differ in the scale of their features by two orders of magnitude; scaled, the default
    learning rate suits them all. One scale serves all features: a scale for each would give the
    noise of those that hardly vary the weight of the others (docs/decisions/0003).
    """
    import keras

    mean = features.mean(axis=0, dtype=np.float64)
    variance = _variance(features, mean)
    layers: list[Any] = [
        keras.Input((features.shape[1],), name="features"),
        keras.layers.Normalization(
            mean=mean, variance=np.full_like(mean, max(variance, SMALLEST_VARIANCE)), name="scale"
        ),
        keras.layers.Dropout(request.dropout, seed=request.seed, name="dropout"),
    ]
    if request.hidden_units:
        layers += [
            keras.layers.Dense(request.hidden_units, activation="relu", name="hidden"),
            keras.layers.Dropout(request.dropout, seed=request.seed + 1, name="hidden_dropout"),
        ]
    layers.append(keras.layers.Dense(labels, activation="softmax", name="probabilities"))
    return keras.Sequential(layers, name="head")


def _variance(features: Features, mean: npt.NDArray[np.float64]) -> float:
    """Return the average variance of the features; in parts, so that memory hardly grows."""
    parts = range(0, len(features), ROWS_AT_ONCE)
    squares = sum(
        float(np.square(features[start : start + ROWS_AT_ONCE] - mean).sum()) for start in parts
    )
    return squares / features.size


def class_weights(truth: Truth, labels: int, request: TrainingRequest) -> Features:
    """Return the weight of each label in the loss: float32 (labels,).

    "balanced" is n / (labels x count), as scikit-learn's.
    """
    if request.class_weights == "none":
        return np.ones(labels, np.float32)
    counts = np.bincount(truth, minlength=labels)
    return (len(truth) / (labels * np.maximum(counts, 1))).astype(np.float32)


def _best_epoch(request: TrainingRequest) -> Any:
    """Return the callback that remembers the best epoch, and unless that is off stops there."""
    import keras

    chosen = request.early_stopping
    stopping = EarlyStopping() if chosen == "off" else chosen
    return keras.callbacks.EarlyStopping(
        monitor=stopping.metric,
        mode="min" if stopping.metric == "val_loss" else "max",
        min_delta=min(stopping.min_delta, LARGEST_DELTA),
        patience=request.epochs if chosen == "off" else stopping.patience,
        restore_best_weights=True,
    )


def _optimizer(request: TrainingRequest, steps_per_epoch: int) -> Any:
    import keras

    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "rmsprop": keras.optimizers.RMSprop,
    }
    return optimizers[request.optimizer](_schedule(request, steps_per_epoch * request.epochs))


def _schedule(request: TrainingRequest, steps: int) -> Any:
    from keras.optimizers import schedules

    rate = request.learning_rate
    match request.learning_rate_schedule:
        case "exponential":
            return schedules.ExponentialDecay(rate, steps, FINAL_LEARNING_RATE)
        case "polynomial":
            return schedules.PolynomialDecay(rate, steps, rate * FINAL_LEARNING_RATE)
        case "cosine":
            return schedules.CosineDecay(rate, steps, FINAL_LEARNING_RATE)
        case _:
            return rate
