"""What a tail learns from, and the head that it begins with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer_service.backbones.features import Features, Stored
from trainer_service.phases.tune.activations import Activations

#: Images in one pass without gradients.
EVALUATE_BATCH = 64


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A dense layer with softmax on raw features.

    Attributes:
        kernel: float32 (features, labels).
        bias: float32 (labels,).
    """

    kernel: Features
    bias: Features


@dataclass(frozen=True, slots=True)
class TailData:
    """The stored rows of one part of the split, and the index of each image's label."""

    activations: Activations
    truth: dict[str, int]

    @property
    def images(self) -> int:
        return sum(map(len, self.activations.groups))

    def group(self, number: int, view: int) -> tuple[Stored, npt.NDArray[np.int64]]:
        """Return rows and label indices of one view of a group."""
        labels = [self.truth[sha256] for sha256 in self.activations.groups[number]]
        return self.activations.rows(number, view), np.array(labels, np.int64)
