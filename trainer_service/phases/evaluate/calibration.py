"""How far a classifier's probabilities can be trusted.

A classifier is calibrated if, of the images that it is 80 % sure of, it is right about 80 %. The
measured error is never 0, as the share that is right varies by chance in every group of images. So
it stands beside the error that a perfectly calibrated classifier would show on these very images:
their probabilities are kept, and it is drawn by them whether each answer is right (Bröcker and
Smith, "Increasing the Reliability of Reliability Diagrams", 2007).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer_service.phases.evaluate.intervals import confidence_interval
from trainer_service.phases.head.data import Probabilities, Truth

#: Groups of images, ordered by how sure the classifier is of them.
GROUPS = 10
#: Images of a group; with fewer groups, if there are not as many images.
FEWEST_IN_A_GROUP = 20
#: How often it is drawn which answers of a perfectly calibrated classifier are right.
DRAWS = 1000
#: The share of the draws whose error is at most `calibration_error_most`.
_MOST = 0.95

_Sure = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Group:
    """Images that a classifier is about equally sure of.

    Attributes:
        images: how many.
        probability: the mean probability of the answered label.
        accuracy: the share of the answers that are right.
        accuracy_low: the lower end of its 95 % interval.
        accuracy_high: the upper end.
    """

    images: int
    probability: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float


def calibration(probabilities: Probabilities, truth: Truth, seed: int = 0) -> dict[str, Any]:
    """Return how far probabilities are from the shares of answers that are right.

    Args:
        probabilities: float32 (n, labels), each row summing to 1; n > 0.
        truth: int64 (n,), index of the right label.
        seed: of the draws.

    Returns:
        `brier`: the mean squared distance of the probabilities from 1 for the right label and 0
        for the others, 0 to 2 (Brier, 1950);
        `calibration_error`: how far probability and accuracy are apart in groups of equally many
        images, on average over the images;
        `calibration_error_expected`: the mean of that error if the probabilities were right;
        `calibration_error_most`: what the error would then exceed in one of twenty cases;
        `calibration_detail`: what that means, in a sentence;
        `calibration`: the groups, the least sure first.
    """
    sure = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    order = np.argsort(sure, kind="stable")
    sure, right = sure[order], right[order]
    starts = _starts(len(sure))
    random = np.random.default_rng(seed)
    drawn = np.array([_error(sure, random.random(len(sure)) < sure, starts) for _ in range(DRAWS)])
    error, expected, most = _error(sure, right, starts), drawn.mean(), np.quantile(drawn, _MOST)
    return {
        "brier": _rounded(_brier(probabilities, truth)),
        "calibration_error": _rounded(error),
        "calibration_error_expected": _rounded(expected),
        "calibration_error_most": _rounded(most),
        "calibration_detail": _detail(sure, right, error, expected, most),
        "calibration": [asdict(group) for group in _groups(sure, right, starts)],
    }


def _brier(probabilities: Probabilities, truth: Truth) -> float:
    distances = probabilities.astype(np.float64)
    distances[np.arange(len(truth)), truth] -= 1
    return float(np.square(distances).sum(axis=1).mean())


def _starts(images: int) -> npt.NDArray[np.int64]:
    """Return the position of the first image of each group."""
    groups = max(1, min(GROUPS, images // FEWEST_IN_A_GROUP))
    return np.arange(groups) * images // groups


def _error(sure: _Sure, right: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]) -> float:
    """Return the mean distance of probability and accuracy, each image counting the same."""
    apart = np.add.reduceat(sure - right, starts)
    return float(np.abs(apart).sum() / len(sure))


def _detail(
    sure: _Sure, right: npt.NDArray[np.bool_], error: float, expected: float, most: float
) -> str:
    """Return what the error means, as a sentence or two."""
    apart = f"Probability and accuracy are {100 * error:.1f} points apart on average"
    chance = f"on {len(sure)} images, {100 * expected:.1f} points would come about by chance"
    if error <= most:
        return f"{apart}; {chance}. So nothing speaks against taking the probabilities as they are."
    how = "too high" if sure.mean() > right.mean() else "too low"
    return (
        f"The probabilities are {how}: on average the model is {100 * sure.mean():.1f} % sure, and "
        f"right for {100 * right.mean():.1f} %. {apart}; {chance}."
    )


def _groups(
    sure: _Sure, right: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]
) -> list[Group]:
    ends = [*starts[1:], len(sure)]
    return [_group(sure[a:b], right[a:b]) for a, b in zip(starts, ends, strict=True)]


def _group(sure: _Sure, right: npt.NDArray[np.bool_]) -> Group:
    share = float(right.mean())
    low, high = confidence_interval(share, len(right))
    return Group(len(right), *map(_rounded, (sure.mean(), share, low, high)))


def _rounded(value: float) -> float:
    return round(float(value), 6)
