"""Answers several labels, so that the right one is among them as often as was asked for.

Split conformal prediction (Vovk et al., 2005): a picture that the network has not learnt from has
a doubt, 1 less the probability of its right label. As many labels are answered as have no more
doubt than the asked share of such pictures had.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shared.arrays import Shape, pack, unpack

#: The file of a version with the doubts, relative to its directory.
COVERAGE_FILE = "coverage.npz"
#: They take 4 MB; `shared.arrays` reads 5.
MOST_DOUBTS = 1_000_000

Doubts = npt.NDArray[np.float32]


def doubts_of(probabilities: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> Doubts:
    """Return 1 less the probability of the right label, ascending: float32 (n,)."""
    return np.sort(1 - probabilities[np.arange(len(truth)), truth])


def pack_doubts(doubts: Doubts) -> bytes:
    """Return the bytes of the file of a version; of very many doubts, evenly spaced ones."""
    if len(doubts) > MOST_DOUBTS:
        doubts = doubts[np.linspace(0, len(doubts) - 1, MOST_DOUBTS).astype(int)]
    return pack({"doubts": doubts.astype(np.float32)})


def unpack_doubts(data: bytes) -> Doubts:
    """Return the doubts in the file of a version.

    Raises:
        ValueError: it holds something else.
    """
    doubts = unpack(data, {"doubts": Shape("<f4", (None,))})["doubts"]
    if not np.isfinite(doubts).all() or (np.diff(doubts) < 0).any():
        raise ValueError("doubts should be finite numbers that ascend")
    return doubts


def most_doubt(doubts: Doubts, coverage: float) -> float | None:
    """Return the doubt up to which labels are answered; None if there are too few images for it.

    Args:
        doubts: of n pictures that the network has not learnt from, ascending.
        coverage: how often the right label is to be among those answered, from 0 to 1.
    """
    # Of a share that is rounded to none, too, the first doubt is the least that there is.
    place = max(1, math.ceil(round((len(doubts) + 1) * coverage, 9)))
    return float(doubts[place - 1]) if place <= len(doubts) else None


def largest_coverage(images: int) -> float:
    """Return the largest share that so many images can vouch for."""
    return images / (images + 1)


def answered(probabilities: Sequence[float] | npt.NDArray[np.float32], doubt: float) -> list[int]:
    """Return the labels with at most this doubt, the likeliest first, and always the likeliest."""
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    return [int(place) for place in order if place == order[0] or 1 - probabilities[place] <= doubt]
