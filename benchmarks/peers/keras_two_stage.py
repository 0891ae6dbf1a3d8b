"""Transfer learning as in Keras' guide: a frozen backbone with a new head, then all of it trained.

The guide (keras.io/guides/transfer_learning) trains a dense layer with dropout on a frozen backbone
by Adam, then unfreezes the backbone and goes on with a learning rate of 1e-5; images are flipped
and turned at random. It says nothing of how many epochs suit a dataset, so each stage gets half of
the CPU time and keeps the weights of its best epoch by validation loss.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from trainer_service.backbones.architectures import Architecture
from trainer_service.backbones.backbone import build_backbone
from trainer_service.backbones.weights import Weights

BATCH_SIZE = 32
#: Those of the guide.
FROZEN_RATE, UNFROZEN_RATE = 1e-3, 1e-5
DROPOUT = 0.2
#: More than any time suffices for.
EPOCHS = 1000


class Image(NamedTuple):
    """A file and its label."""

    file: Path
    label: str


class Answers(NamedTuple):
    """What a network answers to the test images.

    Attributes:
        probabilities: float32 (n, labels), the labels in the order of the alphabet.
        truth: int64 (n,), the index of each image's label.
        epochs: how many were trained frozen, and how many unfrozen.
        seconds: the CPU time of both stages.
    """

    probabilities: Any
    truth: Any
    epochs: tuple[int, int]
    seconds: float


def train_two_stages(  # noqa: PLR0913
    splits: Mapping[str, Sequence[Image]],
    architecture: Architecture,
    weights: Weights,
    *,
    seconds: float,
    mirror: bool = True,
    seed: int = 0,
) -> Answers:
    """Train by the guide, and answer the test images.

    Args:
        splits: the images of train, validation and test.
        architecture: of the backbone.
        weights: its pre-trained weights.
        seconds: of the CPU for both stages; at least one epoch of each is trained.
        mirror: whether images are flipped, as in the guide.
        seed: of weights and order.
    """
    import keras

    keras.utils.set_random_seed(seed)
    with TemporaryDirectory() as folder:
        sets = {
            part: _dataset(Path(folder) / part, images, architecture.input_size, part == "train")
            for part, images in splits.items()
        }
        labels = len({image.label for images in splits.values() for image in images})
        backbone = build_backbone(architecture, weights)
        model = _model(backbone, labels, architecture.input_size, mirror=mirror)
        started = time.process_time()
        backbone.trainable = False
        frozen = _fit(model, sets, FROZEN_RATE, seconds / 2)
        backbone.trainable = True
        for layer in _all_layers(backbone):  # as the guide has it, statistics stay as they are
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        unfrozen = _fit(model, sets, UNFROZEN_RATE, seconds / 2)
        took = time.process_time() - started
        truth = np.concatenate([batch.numpy() for _, batch in sets["test"]])
        probabilities = model.predict(sets["test"], verbose=0)
    return Answers(probabilities, truth, (frozen, unfrozen), took)


def _all_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models in it."""
    for layer in model.layers:
        yield layer
        yield from _all_layers(layer) if hasattr(layer, "layers") else ()


def _dataset(folder: Path, images: Sequence[Image], size: int, shuffle: bool) -> Any:  # noqa: FBT001
    """Return a dataset as the guide has it, of links to the images below a folder of each label."""
    import keras

    for number, image in enumerate(images):
        link = folder / image.label / f"{number:06}{image.file.suffix or '.jpg'}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(image.file)
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH_SIZE, shuffle=shuffle, seed=0, verbose=0
    )


def _model(backbone: Any, labels: int, size: int, *, mirror: bool) -> Any:
    import keras

    pixels = keras.Input((size, size, 3))
    changed = keras.layers.RandomFlip("horizontal")(pixels) if mirror else pixels
    changed = keras.layers.RandomRotation(0.1)(changed)
    features = backbone(keras.ops.cast(changed, "uint8"), training=False)
    dropped = keras.layers.Dropout(DROPOUT)(features)
    return keras.Model(pixels, keras.layers.Dense(labels, activation="softmax")(dropped))


def _fit(model: Any, sets: Mapping[str, Any], rate: float, seconds: float) -> int:
    """Train until the time is over, keep the best epoch, and return how many there were."""
    import keras

    class Deadline(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: object = None) -> None:
            del logs
            self.ends = time.process_time() + seconds
            self.least = np.inf
            self.best: list[Any] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch
            if logs["val_loss"] < self.least:
                self.least, self.best = logs["val_loss"], self.model.get_weights()
            self.model.stop_training = time.process_time() > self.ends

    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    deadline = Deadline()
    history = model.fit(
        sets["train"],
        validation_data=sets["validation"],
        epochs=EPOCHS,
        verbose=0,
        callbacks=[deadline],
    )
    if deadline.best:
        model.set_weights(deadline.best)
    return len(history.history["loss"])
