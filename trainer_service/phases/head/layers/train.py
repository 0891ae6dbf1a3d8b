"""A head of dropout and dense layers, trained for epochs on bottleneck features."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.engines.tensorflow_engine import load_tensorflow
from shared.errors import InvalidRequest
from trainer_service.backbones.features import Features
from trainer_service.phases.head.data import HeadData, Truth
from trainer_service.phases.head.layers.best_epoch import BestEpoch, Epoch
from trainer_service.phases.head.layers.optimizer import build_optimizer
from trainer_service.phases.head.network import answers_of
from trainer_service.phases.head.temperature import best_temperature
from trainer_service.requests.training import TrainingRequest

if TYPE_CHECKING:
    from trainer_service.phases.head.layers.epoch_loop import EpochLoop

#: Keeps features that do not vary at all from being divided by zero.
SMALLEST_VARIANCE = 1e-12

#: How many rows of features are processed at a time, in float64.
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class TrainedLayers:
    """A head with the weights of its best epoch.

    Attributes:
        model: a `keras.Model`, float32 (n, feature_size) to probabilities float32 (n, labels).
        history: loss, accuracy, val_loss, val_accuracy and learning_rate of each epoch.
        best_epoch: the epoch, from 1, whose weights the model has.
        temperature: what the logits of that epoch were divided by.
    """

    model: Any
    history: list[Epoch]
    best_epoch: int
    temperature: float


def train_layers(
    train: HeadData,
    validation: HeadData,
    labels: Sequence[str],
    request: TrainingRequest,
    on_epoch: Callable[[int, Epoch], bool],
) -> TrainedLayers:
    """Train a head of layers; the same seed and features give the same head.

    Layers that learn until they know all their images are too sure of others, so at the end their
    logits are divided by the temperature that suits the validation images best.

    Args:
        train: what the head learns from.
        validation: what early stopping looks at; the head never learns from it.
        labels: in the order of the outputs.
        request: epochs, batch size, optimizer and so on.
        on_epoch: called after each epoch with its number, from 1, and its metrics. If it returns
            true, training stops there and the head has the weights of the best epoch so far. What
            it raises ends the training.

    Raises:
        InvalidRequest: the loss is no longer a number.
    """
    load_tensorflow()
    import keras

    from trainer_service.phases.head.layers.epoch_loop import EpochLoop

    keras.utils.set_random_seed(request.seed)
    model = build_head(train.features, len(labels), request)
    weights = class_weights(train.truth, len(labels), request)
    model.compile(build_optimizer(request, images=len(train.truth)))
    loop = EpochLoop(model, train, validation, weights, request)
    history, kept = _train_epochs(loop, model, request, on_epoch)
    return TrainedLayers(model, history, kept, calibrate(model, validation))


def _train_epochs(
    loop: "EpochLoop",
    model: Any,
    request: TrainingRequest,
    on_epoch: Callable[[int, Epoch], bool],
) -> tuple[list[Epoch], int]:
    """Train, give the model the weights of the epoch that is kept, and return all and its number.

    Raises:
        InvalidRequest: the loss is no longer a number.
    """
    best, best_weights = BestEpoch.of(request), model.get_weights()
    history: list[Epoch] = []
    for number in range(1, request.epochs + 1):
        epoch = loop.run()
        history.append(epoch)
        if best.improves(number, epoch):
            best_weights = model.get_weights()
        stop = on_epoch(number, epoch)
        if stop or best.exhausted or not math.isfinite(epoch["loss"]):
            break
    if not math.isfinite(history[-1]["loss"]):
        raise InvalidRequest(
            "The loss is no longer a number: expected a learning_rate that converges. "
            f"Received: {request.learning_rate}"
        )
    if request.early_stopping == "off" and len(history) == request.epochs:
        return history, len(history)
    model.set_weights(best_weights)
    return history, best.number


def calibrate(model: Any, validation: HeadData) -> float:
    """Divide the logits of a head by the temperature of least validation loss, and return it."""
    import keras

    *_, last = model.layers
    before = keras.Model(model.inputs, last.input)
    kernel, bias = last.get_weights()
    logits = answers_of(before, validation.features) @ kernel + bias
    temperature = best_temperature(logits, validation.truth)
    last.set_weights([kernel / temperature, bias / temperature])
    return temperature


def build_head(features: Features, labels: int, request: TrainingRequest) -> Any:
    """Return an untrained head that centres its input and brings it to unit average variance.

    Backbones differ in the scale of their features by two orders of magnitude; scaled, the default
    learning rate suits them all. All features share one scale: with a scale of its own, a feature
    that hardly varies, and is mostly noise, would count as much as the others
    (docs/decisions/0003).
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
