"""What a head learns from, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer_service.backbones.features import Features
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone

Truth = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeadData:
    """Features, float32 (n, feature_size), and label indices, int64 (n,), of one split."""

    features: Features
    truth: Truth

    def last(self, width: int) -> "HeadData":
        """Return the same with the last `width` features of each image only, without a copy."""
        return HeadData(self.features[:, -width:], self.truth)


def truth_of(images: list[ImageRecord], labels: list[str]) -> Truth:
    """Return the index of each image's label: int64 (n,)."""
    index = {label: position for position, label in enumerate(labels)}
    return np.array([index[image.label] for image in images], np.int64)


def doubles_of(images: Sequence[ImageRecord]) -> Truth | None:
    """Return the number of each image's group of near doubles, -1 without one: int64 (n,).

    None if no image is in a group.
    """
    groups = sorted({image.double_of for image in images} - {""})
    number = {group: place for place, group in enumerate(groups)}
    return np.array([number.get(image.double_of, -1) for image in images]) if groups else None


def head_data(backbone: Backbone, images: list[ImageRecord], labels: list[str]) -> HeadData:
    """Return the features of some images, and the indices of their labels."""
    return HeadData(backbone.read([image.sha256 for image in images]), truth_of(images, labels))
