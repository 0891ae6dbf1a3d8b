"""The statistics of a comparison, as plain functions of numbers."""

import math
from collections.abc import Mapping
from typing import NamedTuple


class Duel(NamedTuple):
    """What two classifiers answer to the same images.

    Attributes:
        wins: images that the first answers right and the second wrong.
        losses: images that the first answers wrong and the second right.
        p: how likely chance alone makes a difference as large, if both are equally good: the exact
            two-sided test of McNemar.
    """

    wins: int
    losses: int
    p: float


def duel(own: Mapping[str, bool], other: Mapping[str, bool]) -> Duel:
    """Compare two classifiers on the images that both have answered.

    Args:
        own: by image, whether the first answers it right.
        other: the same of the second.
    """
    both = own.keys() & other.keys()
    wins = sum(own[image] and not other[image] for image in both)
    losses = sum(other[image] and not own[image] for image in both)
    return Duel(wins, losses, exact_p(wins, losses))


def exact_p(wins: int, losses: int) -> float:
    """Return the p of McNemar's exact two-sided test, given the images that only one has right.

    Under the hypothesis that both are equally good, each of these is a toss of a coin.
    """
    tosses, rarer = wins + losses, min(wins, losses)
    tail = sum(math.comb(tosses, count) for count in range(rarer + 1))
    # Of integers, since 2**-tosses is 0.0 as a float from about a thousand images on.
    p: float = 2 * tail / 2**tosses
    return min(1.0, p)
