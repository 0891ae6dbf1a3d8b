"""Has each image answered by a head that has not learnt from it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.head.regression.design import build_design
from trainer_service.phases.head.regression.effort import Effort
from trainer_service.phases.head.regression.folds import Fold, Truth, stratified_folds
from trainer_service.phases.head.regression.partial import PartialProblem, Solution
from trainer_service.phases.head.regression.rows import Setup, check
from trainer_service.phases.head.regression.scaling import measure
from trainer_service.phases.head.regression.search import TURNED
from trainer_service.phases.head.regression.side_by_side import Check, side_by_side

#: The part of what a search for a head may take that these answers may.
PART_OF_A_SEARCH = 0.2
#: The loss that may be left to gain, in nats. Images are only ranked by the answers: solved a
#: thousand times as well, the same wrong labels were found among 2,527 photographs, in four times
#: the time.
TOLERANCE = 1e-3


class OutOfFold(NamedTuple):
    """What heads answer to images that they have not learnt from.

    Attributes:
        probabilities: float32 (n, labels).
        cut_short: whether the heads would have been better with more steps than they may take.
    """

    probabilities: Probabilities
    cut_short: bool


def answer_out_of_fold(
    setup: Setup, strengths: Sequence[float], check_cancelled: Callable[[], None]
) -> OutOfFold:
    """Answer the images of a setup in five parts, each by a head of the other four.

    Each head is solved from the beginning. Started from one that has learnt from the images it is
    to answer, it would still know their labels if it may not take as many steps as it needs.

    The rows are in coordinates that suit all of them, as each head learns from most of them. In
    those of the training images, which a search has found already, 131 of 1,797 digits were
    suspected, most of them in vain; in those of all, 2.

    Args:
        setup: the training images, and all others as those of validation. All taps are used.
        strengths: of the penalty, from strong to weak. If there are several, the answers of the
            first head decide.
        check_cancelled: called about every 0.3 s; what it raises ends the work.

    Returns:
        The answers to the training images, and then to the others.

    Raises:
        InvalidRequest: a feature is not a finite number.
        ValueError: the parts of the setup do not go together.
    """
    check(setup)
    parts = [setup.train.features, setup.validation.features]
    truth = np.concatenate([setup.train.truth, setup.validation.truth])
    scaling = measure(parts[:1], setup.widths, check_cancelled)
    design = build_design(parts, len(parts), scaling, setup.seed, check_cancelled)
    counts = np.ones(len(truth), np.float32)
    folds = stratified_folds(truth, setup.seed, setup.doubles)
    effort = Effort.of(len(truth)).share(PART_OF_A_SEARCH)
    shares = [effort.share(1 / (len(folds) - place)) for place in range(len(folds))]
    probabilities = np.empty((len(truth), setup.labels), np.float32)

    def solved(
        strengths: Sequence[float], fold: Fold, effort: Effort, check: Check
    ) -> Iterator[float]:
        problem = PartialProblem(design, truth, counts, fold, setup)
        strength, head = _best(problem, strengths, truth[fold.judged], effort, check)
        probabilities[fold.judged] = np.exp(head.scores).T
        yield strength

    parted = list(zip(folds, shares, strict=True))
    if len(strengths) > 1:
        strengths = tuple(solved(strengths, *parted.pop(0), check_cancelled))
    pieces = [partial(solved, strengths, *part) for part in parted]
    for _ in side_by_side(pieces, setup.threads, check_cancelled):
        pass
    return OutOfFold(probabilities, any(share.is_used_up for share in shares))


def _best(
    problem: PartialProblem,
    strengths: Sequence[float],
    truth: Truth,
    effort: Effort,
    check_cancelled: Callable[[], None],
) -> tuple[float, Solution]:
    """Return the strength whose head answers best, and that head.

    Args:
        problem: the head to be solved.
        strengths: those to choose from.
        truth: the index of the label of each image that is judged by.
        effort: what it takes is taken off there.
        check_cancelled: called about every 0.3 s; what it raises ends the work.
    """
    solves = len(strengths)
    best = (
        strengths[0],
        problem.solve(strengths[0], None, TOLERANCE, effort, check_cancelled, solves),
    )
    least, last = _loss(best[1], truth), best[1]
    for strength in strengths[1:]:
        if effort.is_used_up:
            break
        last = problem.solve(strength, last.weights, TOLERANCE, effort, check_cancelled, solves)
        loss = _loss(last, truth)
        if loss < least:
            least, best = loss, (strength, last)
        elif loss > TURNED * least:
            break
    return best


def _loss(solved: Solution, truth: Truth) -> float:
    return -float(solved.scores[truth, np.arange(len(truth))].mean(dtype=np.float64))
