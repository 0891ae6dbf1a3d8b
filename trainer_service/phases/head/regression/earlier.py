"""Heads of an earlier search on the same rows, from which the next search starts.

After a correction of a few labels, the best weights hardly move. Where a head starts decides how
soon it is solved, to the same tolerance.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from trainer_service.phases.head.regression.folds import Truth
from trainer_service.phases.head.regression.scaling import Floats

#: How many bytes of weights a process keeps.
KEPT_BYTES = 32 << 20
#: If more of the labels have changed, a head starts from the beginning.
MOST_CHANGED = 0.1


@dataclass(slots=True)
class EarlierHeads:
    """Weights by the strength of their penalty, and the labels that they were solved for."""

    truth: Truth
    weights: dict[float, Floats] = field(default_factory=dict)

    def fits(self, truth: Truth) -> bool:
        """Return whether a few labels differ, so that the weights are a good start.

        If none does, the training is repeated: then it is to give the same, to the last digit.
        """
        same_rows = len(truth) == len(self.truth)
        return same_rows and 0 < float(np.mean(truth != self.truth)) <= MOST_CHANGED

    @property
    def nbytes(self) -> int:
        return self.truth.nbytes + sum(weights.nbytes for weights in self.weights.values())


class Memory:
    """The heads of the latest searches, by the design that they were solved in and their labels."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[bytes, int], EarlierHeads] = OrderedDict()

    def take(self, design: bytes, labels: int, truth: Truth) -> EarlierHeads:
        """Return the earlier heads in a design, none if too many labels differ from theirs."""
        found = self._kept.pop((design, labels), None)
        return found if found is not None and found.fits(truth) else EarlierHeads(truth)

    def keep(self, design: bytes, labels: int, heads: EarlierHeads) -> None:
        """Keep heads for the next search, and no more than may be kept."""
        self._kept[design, labels] = heads
        while sum(one.nbytes for one in self._kept.values()) > self._most_bytes:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()


#: What this process has solved.
memory = Memory()
