"""Compares the head phase with Keras' `fit`, on as many features as the article has images."""

import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.tools.isolation import alternated, isolated
from benchmarks.tools.rows import Row
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.layers.train import build_head, train_layers
from trainer_service.requests.training import TrainingRequest

EPOCHS, QUICK_EPOCHS = 50, 5
FEATURES = 1280
LABELS = ["cat", "dog"]
ROUNDS = 3


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure 1,399 and 23,262 images, or only 100 if `quick`."""
    del directory
    rows: list[Row] = []
    epochs = QUICK_EPOCHS if quick else EPOCHS
    for images in [100] if quick else [1399, 23_262]:
        # With fit the large set takes minutes; one round is enough.
        rounds = ROUNDS if images == 1399 else 1  # noqa: PLR2004 - the article's small set
        sides = {name: partial(isolated, side, images, epochs) for name, side in SIDES.items()}
        seconds = alternated(sides, rounds)
        ratio = seconds["Keras fit"] / seconds["Headstart"]
        case = f"{images} images, {epochs} epochs"
        rows += [
            Row("head", case, "Keras fit", seconds["Keras fit"], "s"),
            Row("head", case, "Headstart", seconds["Headstart"], "s", ratio, "as fast as fit"),
        ]
    return rows


def headstart(images: int, epochs: int) -> float:
    """Return the seconds that training takes, without loading TensorFlow."""
    train, validation = _data(images)
    request = TrainingRequest(epochs=epochs, early_stopping="off")
    _load()
    started = time.perf_counter()
    train_layers(train, validation, LABELS, request, _ignore)
    return time.perf_counter() - started


def keras_fit(images: int, epochs: int) -> float:
    """Return the seconds that `fit` takes on the same features, with its fastest settings."""
    train, validation = _data(images)
    request = TrainingRequest()
    _load()
    started = time.perf_counter()
    model = build_head(train.features, len(LABELS), request)
    steps = -(-len(train.truth) // request.batch_size)
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps,
        jit_compile=False,  # XLA is eight times slower here
    )
    model.fit(
        train.features,
        train.truth,
        batch_size=request.batch_size,
        epochs=epochs,
        verbose=0,
        validation_data=(validation.features, validation.truth),
    )
    return time.perf_counter() - started


SIDES = {"Keras fit": keras_fit, "Headstart": headstart}


def _load() -> None:
    import keras

    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])(np.zeros((1, 4)))


def _data(images: int) -> tuple[HeadData, HeadData]:
    """Return random features: 70 % of the images for training and 15 % for validation."""
    random = np.random.default_rng(0)
    features = random.normal(size=(images, FEATURES)).astype(np.float32)
    truth = (features[:, 0] + random.normal(size=images) > 0).astype(np.int64)
    cut, end = int(0.7 * images), int(0.85 * images)
    return (
        HeadData(features[:cut], truth[:cut]),
        HeadData(features[cut:end], truth[cut:end]),
    )


def _ignore(_: int, __: dict[str, float]) -> bool:
    """Ignore progress, and never stop."""
    return False
