"""Divides the score of a label among the places of a picture.

A feature is the average of one channel of a map, so what it adds to a score is a sum over the
places of that map. The score is therefore what all places of all maps add to it, and a rest that
belongs to no place: the biases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from shared.heatmaps.parts import Floats, HeadWeights

#: The heat of all maps together is given for this many rows and columns of places.
PLACES = 14


@dataclass(frozen=True, slots=True, eq=False)
class TapMap:
    """What a tap pools in one picture.

    Attributes:
        values: float32 (places, channels), or a transposed view.
        height: rows of places.
        width: columns of places; row after row, there are height x width of them.
        slope: float32 (channels,), what each average is multiplied by before the head; None: 1. It
            comes with a normalisation, which also subtracts what the averages are in the mean.
    """

    values: Floats
    height: int
    width: int
    slope: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """How much each place of a picture speaks for a label.

    Attributes:
        score: how far the label's logit is above the mean of all labels' logits. It is also the
            logarithm of its probability, less the mean of all labels' logarithms.
        rest: the part of the score that belongs to no place.
        grid: float32 (PLACES, PLACES), over the whole picture, from the top left; negative where
            it speaks against the label. Its sum and the rest are the score.
    """

    score: float
    rest: float
    grid: Floats


def heat_of(maps: Sequence[TapMap], features: Floats, head: HeadWeights, label: int) -> Heat:
    """Return the heat of one picture for a label.

    Args:
        maps: what each tap pools, in the order of the features.
        features: of the picture, float32 (features,).
        head: what turns features into logits.
        label: the index of the label.
    """
    slope, score = head.direction(features, label)
    grid = np.zeros((PLACES, PLACES), np.float32)
    start = 0
    for one in maps:
        channels = one.values.shape[1]
        heat = map_heat(one, slope[start : start + channels])
        grid += spread(one.height) @ heat @ spread(one.width).T
        start += channels
    return Heat(score, score - float(grid.sum(dtype=np.float64)), grid)


def map_heat(one: TapMap, slope: Floats) -> Floats:
    """Return what each place of one map adds to a score, float32 (height, width).

    Args:
        one: the map.
        slope: how the score changes with each of its features, float32 (channels,).
    """
    if one.slope is not None:
        slope = slope * one.slope
        slope -= slope.mean()
    places = one.height * one.width
    # Not a product of matrices: its threads wait for each other by spinning, if it has several.
    heat: Floats = np.einsum("pc,c->p", one.values, slope / np.float32(places))
    return heat.reshape(one.height, one.width)


@cache
def spread(places: int, onto: int = PLACES) -> Floats:
    """Return the matrix, float32 (onto, places), that spreads heat along one axis.

    Each place of a map hands its heat to those of the grid around it, the nearer the more, and
    loses none: each column adds up to 1.
    """
    weights = interpolation(places, onto)
    shares: Floats = weights / weights.sum(axis=0)
    return shares


@cache
def interpolation(places: int, onto: int) -> Floats:
    """Return the matrix, float32 (onto, places), of linear interpolation along one axis.

    Places are seen as squares side by side, so that the first and the last begin and end with the
    picture. Where there are fewer places in the end, each is an average.
    """
    centres = (np.arange(onto) + 0.5) * places / onto - 0.5
    distances = np.abs(np.clip(centres, 0, places - 1)[:, None] - np.arange(places))
    weights = np.maximum(0, 1 - distances / max(1, places / onto))
    shares: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
