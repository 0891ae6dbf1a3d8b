"""By how much a network is too sure of itself."""

import numpy as np
import numpy.typing as npt

from trainer_service.backbones.features import Features
from trainer_service.phases.head.regression.solver import losses

#: Logits are divided by a number in this range; a few images must not make a network that is never
#: in doubt, nor one that knows nothing.
LEAST, MOST = 0.5, 4.0

#: Each step leaves two thirds of the range.
_STEPS = 24


def best_temperature(logits: Features, truth: npt.NDArray[np.int64]) -> float:
    """Return the number that logits are divided by for the least cross-entropy.

    A network that learns until it knows all its images is too sure of others. The cross-entropy is
    convex in the reciprocal of the temperature, so thirds of the range lead to its minimum.

    Args:
        logits: float32 (n, labels), of images that the network has not learnt from.
        truth: int64 (n,), the index of each image's label.
    """
    low, high = 1 / MOST, 1 / LEAST
    for _ in range(_STEPS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _loss(logits * left, truth) <= _loss(logits * right, truth):
            high = right
        else:
            low = left
    return 2 / (low + high)


def _loss(logits: Features, truth: npt.NDArray[np.int64]) -> float:
    return float(losses(logits.T, truth).mean(dtype=np.float64))
