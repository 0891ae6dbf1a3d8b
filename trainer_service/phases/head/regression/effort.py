"""Bounds the work of a search for a head, whatever the number of labels."""

from dataclasses import dataclass
from typing import Self

from trainer_service.phases.head.regression.solver import MOST_STEPS

#: Multiplications that a search may take: some 20 s on two cores, and for each image as many as a
#: backbone of medium size.
AT_LEAST = 1e12
FOR_EACH_IMAGE = 2e9
#: A head of fewer steps says little of its taps and its strength.
FEWEST_STEPS = 5


@dataclass(slots=True)
class Effort:
    """How many multiplications a search may still take.

    They are counted, and not timed, so that the same images give the same head on any machine.

    Attributes:
        left: how many are left; below 0, if more were taken.
    """

    left: float

    @classmethod
    def of(cls, images: int) -> Self:
        """Return the effort of a search on so many images."""
        return cls(AT_LEAST + FOR_EACH_IMAGE * images)

    @property
    def is_used_up(self) -> bool:
        return self.left <= 0

    def share(self, part: float) -> "Effort":
        """Return a part of what is left, and take it off here until it is given back."""
        taken = max(0.0, self.left) * part
        self.left -= taken
        return Effort(taken)

    def give_back(self, share: "Effort") -> None:
        """Add what a share has left, or take off what it has used beyond."""
        self.left += share.left

    def steps(self, cost: float, solves: int = 1) -> int:
        """Return how many steps of this cost each of some solves may make."""
        return max(FEWEST_STEPS, min(MOST_STEPS, int(self.left / (cost * solves))))

    def spend(self, multiplications: float) -> None:
        self.left -= multiplications
