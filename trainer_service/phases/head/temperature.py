"""By how much a network is too sure of itself."""

import math

import numpy as np
import numpy.typing as npt

from trainer_service.backbones.features import Features
from trainer_service.phases.head.regression.solver import losses

#: Logits are divided by a number in this range.
LEAST, MOST = 0.5, 4.0
#: How far from 1 a temperature is expected before anything is known: the standard deviation of its
#: logarithm. A few images, or many of which nearly all are right, must not make a network that is
#: never in doubt: 229 photographs of cats and dogs, one of them wrong, gave 0.57 without it, which
#: made the loss on other images worse.
EXPECTED = 0.25

#: Each step leaves two thirds of the range.
_STEPS = 24


def best_temperature(logits: Features, truth: npt.NDArray[np.int64]) -> float:
    """Return the likeliest number that logits are to be divided by.

    A network that learns until it knows all its images is too sure of others. The likeliest number
    has the least cross-entropy over all images, plus what `EXPECTED` says against it. Both are
    convex in the reciprocal of the temperature, so thirds of the range lead to their minimum.

    Args:
        logits: float32 (n, labels), of images that the network has not learnt from.
        truth: int64 (n,), the index of each image's label.
    """
    low, high = 1 / MOST, 1 / LEAST
    for _ in range(_STEPS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if _against(logits, truth, left) <= _against(logits, truth, right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def _against(logits: Features, truth: npt.NDArray[np.int64], factor: float) -> float:
    """Return minus the logarithm of the likelihood of the reciprocal of a temperature."""
    loss = losses((logits * np.float32(factor)).T, truth).sum(dtype=np.float64)
    return float(loss) + math.log(factor) ** 2 / (2 * EXPECTED**2)
