"""A head that is solved on some of the rows, and judged by others."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trainer_service.phases.head.regression.design import Design
from trainer_service.phases.head.regression.effort import Effort
from trainer_service.phases.head.regression.folds import Fold, Truth
from trainer_service.phases.head.regression.rows import Setup
from trainer_service.phases.head.regression.scaling import Floats
from trainer_service.phases.head.regression.solver import (
    Problem,
    log_softmax,
    losses,
    minimise,
    starting_weights,
)

Check = Callable[[], None]

#: How many images a label counts as in a fold that has none of it.
UNSEEN = 0.5


class Solution(NamedTuple):
    """A head that was solved on some of the rows.

    Attributes:
        weights: of the labels among these rows, float32 (labels, m + 1).
        scores: logarithms of the probabilities of the rows judged by, float32 (all labels, n).
        loss: mean cross-entropy of the rows solved on, by class weights.
        accuracy: share of these rows that are classified right.
    """

    weights: Floats
    scores: Floats
    loss: float
    accuracy: float


class PartialProblem:
    """A head to be solved on some of the rows, of the labels that these have.

    A label without a row among them gets the probability that half an image would give it,
    whatever the strength: solved for, it would tend to 0, its loss to infinity, and one image would
    decide between the heads.
    """

    def __init__(
        self, design: Design, truth: Truth, counts: Floats, fold: Fold, setup: Setup
    ) -> None:
        counts = np.where(fold.solved, counts, 0).astype(np.float64)
        by_label = np.bincount(truth, counts, minlength=setup.labels)
        self._fold, self._labels, self._images = fold, setup.labels, float(counts.sum())
        self._shares = counts / self._images
        self._present = np.flatnonzero(by_label)
        weights = self._shares
        if setup.class_weights == "balanced":
            by_label[by_label == 0] = 1  # of a label that no row here has
            weights = weights * (self._images / (len(self._present) * by_label[truth]))
        places = np.zeros(setup.labels, np.int64)
        places[self._present] = np.arange(len(self._present))
        self._problem = Problem(
            design, places[truth], weights.astype(np.float32), len(self._present)
        )

    @property
    def cost(self) -> float:
        """How many multiplications a step takes."""
        return self._problem.cost

    def solve(  # noqa: PLR0913, PLR0917
        self,
        strength: float,
        start: Floats | None,
        tolerance: float,
        effort: Effort,
        check_cancelled: Check,
        solves: int = 1,
    ) -> Solution:
        """Solve the head, from other weights on or, without any, from those of no penalty.

        Args:
            strength: of the penalty.
            start: weights to start from.
            tolerance: the loss that may be left to gain, in nats.
            effort: what it takes is taken off there.
            check_cancelled: called about every 0.3 s; what it raises ends the search.
            solves: how many such heads the effort has to do for.
        """
        problem = self._problem
        first = starting_weights(problem) if start is None else start
        most = effort.steps(problem.cost, solves)
        found = minimise(problem, strength, first, check_cancelled, tolerance, most)
        effort.spend((1 + found.steps) * problem.cost)
        return Solution(
            found.weights,
            self._scores(found.logits),
            float(losses(found.logits, problem.truth).astype(np.float64) @ problem.weights),
            float((found.logits.argmax(axis=0) == problem.truth) @ self._shares),
        )

    def _scores(self, logits: Floats) -> Floats:
        images = self._images
        total = images + UNSEEN * (self._labels - len(self._present))
        own = logits[:, self._fold.judged]
        scores = np.full((self._labels, own.shape[1]), np.log(UNSEEN / total), np.float32)
        scores[self._present] = log_softmax(own) + np.float32(np.log(images / total))
        return scores
