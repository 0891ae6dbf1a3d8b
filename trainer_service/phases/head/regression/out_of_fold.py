"""Has each image answered by a head that has not learnt from it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from trainer_service.phases.head.data import Probabilities
from trainer_service.phases.head.regression.design import build_design
from trainer_service.phases.head.regression.effort import Effort
from trainer_service.phases.head.regression.folds import Truth, stratified_folds
from trainer_service.phases.head.regression.partial import PartialProblem, Solution
from trainer_service.phases.head.regression.rows import Setup, check
from trainer_service.phases.head.regression.scaling import measure
from trainer_service.phases.head.regression.search import TURNED

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
    """Answer the training images of a setup in five parts, each by a head of the other four.

    Each head is solved from the beginning. Started from one that has learnt from the images it is
    to answer, it would still know their labels if it may not take as many steps as it needs.

    Args:
        setup: the images, as its training images; it has no others. All taps are used.
        strengths: of the penalty, from strong to weak. If there are several, the answers of the
            first head decide.
        check_cancelled: called about every 0.3 s; what it raises ends the work.

    Raises:
        InvalidRequest: a feature is not a finite number.
        ValueError: the parts of the setup do not go together.
    """
    check(setup)
    parts, truth = [setup.train.features], setup.train.truth
    scaling = measure(parts, setup.widths, check_cancelled)
    design = build_design(parts, 1, scaling, setup.seed, check_cancelled)
    counts = np.ones(len(truth), np.float32)
    folds = stratified_folds(truth, setup.seed)
    effort = Effort.of(len(truth)).share(PART_OF_A_SEARCH)
    probabilities = np.empty((len(truth), setup.labels), np.float32)
    for number, fold in enumerate(folds):
        problem, left = PartialProblem(design, truth, counts, fold, setup), len(folds) - number
        strength, solved = _best(
            problem, strengths, truth[fold.judged], effort, left, check_cancelled
        )
        strengths = [strength]
        probabilities[fold.judged] = np.exp(solved.scores).T
    return OutOfFold(probabilities, effort.is_used_up)


def _best(  # noqa: PLR0913, PLR0917
    problem: PartialProblem,
    strengths: Sequence[float],
    truth: Truth,
    effort: Effort,
    solves: int,
    check_cancelled: Callable[[], None],
) -> tuple[float, Solution]:
    """Return the strength whose head answers best, and that head.

    Args:
        problem: the head to be solved.
        strengths: those to choose from.
        truth: the index of the label of each image that is judged by.
        effort: what it takes is taken off there.
        solves: how many heads the effort has to do for, if each has one strength.
        check_cancelled: called about every 0.3 s; what it raises ends the work.
    """
    solves += len(strengths) - 1
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
