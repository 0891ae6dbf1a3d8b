"""Bottleneck features as in the Keras guides: `image_dataset_from_directory` and `predict`."""

import time
from pathlib import Path

from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.backbone import build_backbone
from trainer_service.backbones.weights import Weights

BATCH_SIZE = 32


def images_per_second(folder: Path, architecture_id: str, weights: Weights) -> float:
    """Return how many images of a folder go through the backbone in a second.

    Args:
        folder: a folder of images.
        architecture_id: the architecture of the backbone, which includes its normalisation, as in
            the guides.
        weights: the same weights that Headstart uses.
    """
    import keras

    architecture = find_architecture(architecture_id)
    backbone = build_backbone(architecture, weights)
    images = keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        image_size=(architecture.input_size,) * 2,
        batch_size=BATCH_SIZE,
        shuffle=False,
    ).map(lambda batch: keras.ops.cast(batch, "uint8"))
    backbone.predict(images.take(1), verbose=0)  # builds the graph, which is not measured
    started = time.perf_counter()
    features = backbone.predict(images, verbose=0)
    return len(features) / (time.perf_counter() - started)
