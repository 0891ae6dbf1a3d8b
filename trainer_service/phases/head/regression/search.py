"""Searches the taps and the strength of the penalty that make the best head.

Where there are views, changed copies of images, heads that learn from them too are tried on the
taps that were best without. So they are only used where they lower the validation loss.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from trainer_service.phases.head.regression.design import Design, build_design
from trainer_service.phases.head.regression.effort import Effort
from trainer_service.phases.head.regression.folds import Fold
from trainer_service.phases.head.regression.partial import PartialProblem, Solution
from trainer_service.phases.head.regression.rows import Rows, Setup, check, shares_of_images
from trainer_service.phases.head.regression.scaling import Floats, Scaling, measure
from trainer_service.phases.head.regression.side_by_side import side_by_side
from trainer_service.phases.head.regression.solver import TOLERANCE
from trainer_service.requests.training import TapSet

Check = Callable[[], None]

#: From strong to weak. The best was 4 for 27 images, 1/4 for 300 and 1/16 for 1,500; the weakest
#: two are for tens of thousands, and are not reached otherwise (`TURNED`).
STRENGTHS = tuple(4.0**-power for power in range(-2, 7))
#: So many strengths are tried near one: it, and those on its sides.
BESIDE = 3
#: The factor between a strength and those beside it.
BESIDE_IT = 4.0
#: A validation loss that is this many times the least one of its taps is clearly past the minimum.
#: Along a path there is one minimum, and a step beside it the loss is 1 % to 5 % higher.
TURNED = 1.02
#: The loss that may be left to gain, in nats, while heads are compared: it changes the validation
#: loss by less than 0.0001. The chosen head is solved to the solver's own tolerance.
COMPARED = 1e-7
#: The part of the effort that is kept for the head that is chosen.
KEPT_FOR_THE_CHOSEN = 0.25


@dataclass(frozen=True, slots=True)
class PathStep:
    """How good the heads of some taps and one strength are.

    Attributes:
        taps: the name of the set of taps.
        strength: of the penalty.
        loss: mean cross-entropy of the images solved on, in nats, by class weights.
        accuracy: share of these that are classified right.
        val_loss: mean cross-entropy of the images judged by, without class weights.
        val_accuracy: share of these that are classified right.
        turned: whether the validation loss is clearly past its minimum here, so that the weaker
            strengths of these taps were not tried.
        views: how many views of an image were solved on; 1 is the image itself.
        cut_short: whether they were not tried as the search may take no longer (`Effort`).
    """

    taps: TapSet
    strength: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    turned: bool = False
    views: int = 1
    cut_short: bool = False


@dataclass(frozen=True, slots=True)
class SolvedHead:
    """The best head that was found, for raw features: softmax(features @ kernel + bias).

    Attributes:
        taps: the name of its set of taps.
        strength: of its penalty.
        views: how many views of an image it has learnt from.
        kernel: float32 (features of its taps, labels).
        bias: float32 (labels,).
        path: what was tried, in this order.
        near: whether that were only heads near an earlier choice.
        cross_validated: whether the heads were judged by cross-validation. Then the chosen one
            was solved on all training and validation images.
        probabilities: float32 (n, labels) of the images judged by: the validation images, or, if
            cross-validated, the training and then the validation images, each by a head that was
            solved without it.
    """

    taps: TapSet
    strength: float
    views: int
    kernel: Floats
    bias: Floats
    path: list[PathStep]
    near: bool
    cross_validated: bool
    probabilities: Floats


class _Stopped(Exception):
    """A client wants no more heads than there are."""


def search(
    setup: Setup,
    on_step: Callable[[PathStep], bool],
    check_cancelled: Check,
    stops: Callable[[], bool] = lambda: False,
) -> SolvedHead:
    """Solve heads for all sets of taps and strengths, and return that of least validation loss.

    The least loss decides, even if a set of fewer taps comes close to it. The sets are compared on
    the very same images, so most of the noise of these cancels out, and further taps cost little:
    to prefer fewer within a standard error would give up what they gain on some hundred images.

    Args:
        setup: images, labels and taps.
        on_step: called after each strength. If it returns true, the search stops there and the
            best head so far is returned. What it raises ends the search.
        check_cancelled: called about every 0.3 s; what it raises ends the search.
        stops: called as often, once there is a head. If it returns true, the search ends in the
            middle of a strength.

    Raises:
        InvalidRequest: a feature is not a finite number.
        ValueError: the parts of the setup do not go together.
    """
    check(setup)
    choice = _Choice(on_step, near=setup.near is not None)
    effort, kept = Effort(0), Effort(0)

    def check_wanted() -> None:
        check_cancelled()
        if choice.path and stops():
            raise _Stopped

    with suppress(_Stopped):
        _try_all(setup, choice, effort, kept, check_wanted)
    best = choice.best
    effort.give_back(kept)
    final = best.final.solve(best.step.strength, best.start, TOLERANCE, effort, check_cancelled)
    kernel, bias = best.folded(final.weights)
    rows = best.rows
    return SolvedHead(
        taps=best.step.taps,
        strength=best.step.strength,
        views=best.step.views,
        kernel=kernel,
        bias=bias,
        path=choice.path,
        near=choice.near,
        cross_validated=rows.crossed,
        probabilities=np.exp(best.scores if rows.crossed else final.scores).T,
    )


def solve_on_training(
    setup: Setup, taps: TapSet, strength: float, check_cancelled: Check
) -> tuple[Floats, Floats]:
    """Solve the head of some taps and one strength on the training images and their views alone.

    Args:
        setup: images, labels and taps; views, if there are some, are of training images only.
        taps: the name of a set of taps.
        strength: of the penalty.
        check_cancelled: called about every 0.3 s; what it raises ends the search.

    Returns:
        For raw features: kernel, float32 (features of the taps, labels), and bias, float32
        (labels,).

    Raises:
        InvalidRequest: a feature is not a finite number.
    """
    check(setup)
    widths = setup.widths[-setup.tap_sets[taps] :]
    parts, image_of = [setup.train.features[:, -sum(widths) :]], np.arange(len(setup.train.truth))
    if setup.views is not None and len(setup.views.images):
        parts.append(setup.views.read(sum(widths)))
        image_of = np.append(image_of, setup.views.images)
    truth = setup.train.truth[image_of]
    scaling = measure(parts, widths, check_cancelled)
    design = build_design(parts, len(parts), scaling, setup.seed, check_cancelled)
    everything = np.ones(len(truth), bool)
    fold = Fold(everything, ~everything)
    problem = PartialProblem(design, truth, shares_of_images(image_of), fold, setup)
    effort = Effort.of(len(truth))
    solved = problem.solve(strength, None, TOLERANCE, effort, check_cancelled)
    return _folded(design, scaling, solved.weights)


def _try_all(
    setup: Setup, choice: "_Choice", effort: Effort, kept: Effort, check_cancelled: Check
) -> None:
    """Try the heads on the images, and then those on further views with the taps that were best.

    Near an earlier choice, other taps are only tried if the best strength has moved away from it by
    more than one: then the few images that have changed matter.

    Args:
        setup: images, labels and taps.
        choice: is shown each head.
        effort: is given what the search may take.
        kept: is given what the chosen head may take.
        check_cancelled: called about every 0.3 s; what it raises ends the search.
    """

    def tried(rows: Rows, tap_sets: Mapping[TapSet, int], near: float | None) -> bool:
        candidates = _candidates(setup, rows, tap_sets, near, effort, check_cancelled)
        return choice.among(candidates)

    def more_effort(rows: Rows) -> Rows:
        own = Effort.of(len(rows.truth))
        kept.give_back(own.share(KEPT_FOR_THE_CHOSEN))
        effort.give_back(own)
        return rows

    near, others, rows = setup.near, dict(setup.tap_sets), more_effort(Rows(setup))
    if near is not None:
        if not tried(rows, {near.taps: others.pop(near.taps)}, near.strength):
            return
        choice.near = _apart(near.strength, choice.best.step.strength) <= BESIDE_IT or not others
    wanted = choice.near or tried(rows, others, None)
    if wanted and setup.views is not None and len(setup.views.images):
        taps = choice.best.step.taps
        count = setup.tap_sets[taps]
        viewed = more_effort(Rows(setup, setup.views, sum(setup.widths[-count:])))
        tried(viewed, {taps: count}, None if near is None else near.strength)


class _Choice:
    """The best of the candidates so far.

    Attributes:
        path: the steps of all of them, in their order.
        near: whether only those near an earlier choice were looked at.
    """

    def __init__(self, on_step: Callable[[PathStep], bool], *, near: bool) -> None:
        self.path: list[PathStep] = []
        self.near = near
        self._best: _Candidate | None = None
        self._on_step = on_step

    @property
    def best(self) -> "_Candidate":
        if self._best is None:
            raise ValueError("No validation loss is a number.")
        return self._best

    def among(self, candidates: Iterator["_Candidate"]) -> bool:
        """Look at further candidates; return whether all of them were wanted."""
        for candidate in candidates:
            self.path.append(candidate.step)
            least = np.inf if self._best is None else self._best.step.val_loss
            if candidate.step.val_loss < least:
                self._best = candidate
            if self._on_step(candidate.step):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A step of the path, and what the head is made of if it is the best.

    Attributes:
        step: how good it is.
        rows: what it was solved on and judged by.
        scaling: of the features of its taps.
        design: of the rows.
        final: the problem that its final head solves.
        start: weights to solve that from, if there are some.
        scores: logarithms of the probabilities of the rows judged by: float32 (labels, n).
    """

    step: PathStep
    rows: Rows
    scaling: Scaling
    design: Design
    final: PartialProblem
    start: Floats | None
    scores: Floats

    def folded(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return kernel (d, labels) and bias (labels,) for features that are not scaled."""
        return _folded(self.design, self.scaling, weights)


def _folded(design: Design, scaling: Scaling, weights: Floats) -> tuple[Floats, Floats]:
    kernel = design.kernel(weights[:, :-1])
    bias = weights[:, -1] - scaling.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def _candidates(  # noqa: PLR0913, PLR0917
    setup: Setup,
    rows: Rows,
    tap_sets: Mapping[TapSet, int],
    near: float | None,
    effort: Effort,
    check_cancelled: Check,
) -> Iterator[_Candidate]:
    """Yield a candidate for each set of taps, the smallest first, and each strength.

    The sets share the effort by their size, before any is searched, so that none depends on how
    fast another is. What they leave is given back once all are searched.
    """
    widths = setup.widths[-max(tap_sets.values()) :]
    whole = measure([part[:, -sum(widths) :] for part in rows.seen], widths, check_cancelled)
    sizes = {taps: sum(setup.widths[-count:]) for taps, count in tap_sets.items()}
    sets = sorted(sizes, key=sizes.__getitem__)
    left = sum(sizes.values())
    shares = {}
    for taps in sets:
        shares[taps] = effort.share(sizes[taps] / left)
        left -= sizes[taps]

    def searched(taps: TapSet, check: Check) -> Iterator[_Candidate]:
        scaling = whole.last(sizes[taps])
        design = build_design(rows.parts, len(rows.seen), scaling, setup.seed, check)
        yield from _path(taps, near, scaling, design, setup, rows, shares[taps], check)

    pieces = [partial(searched, taps) for taps in sets]
    yield from side_by_side(pieces, setup.threads, check_cancelled)
    for share in shares.values():
        effort.give_back(share)


def _path(  # noqa: PLR0913, PLR0917
    taps: TapSet,
    near: float | None,
    scaling: Scaling,
    design: Design,
    setup: Setup,
    rows: Rows,
    effort: Effort,
    check_cancelled: Check,
) -> Iterator[_Candidate]:
    """Yield a candidate for each strength of the penalty that is tried."""
    folds = [PartialProblem(design, rows.truth, rows.counts, fold, setup) for fold in rows.folds]
    final = folds[0]
    if rows.crossed:
        final = PartialProblem(design, rows.truth, rows.counts, rows.final, setup)
    tried: dict[float, float] = {}
    # Of the strongest penalty and of the last one: the next is beside one of them.
    solutions: dict[float, list[Solution]] = {}
    least, strength = np.inf, next_strength(tried, near)
    while strength is not None:
        beside = min(solutions, key=partial(_apart, strength), default=None)
        before: Sequence[Solution | None]
        before = [None] * len(folds) if beside is None else solutions[beside]
        solved: list[Solution] = []
        for fold, last in zip(folds, before, strict=True):
            start, left = _start(last, before[:1], solved[:1]), len(folds) - len(solved)
            solved.append(fold.solve(strength, start, COMPARED, effort, check_cancelled, left))
        scores = _judged(rows, solved)
        step = _step(taps, strength, solved, scores, rows, least)
        tried[strength] = step.val_loss
        solutions = {one: solutions[one] for one in solutions if one == max(tried)}
        solutions[strength] = solved
        following = next_strength(tried, near)
        step = replace(step, cut_short=effort.is_used_up and following is not None)
        if step.val_loss < least:
            own = None if rows.crossed else solved[0].weights
            yield _Candidate(step, rows, scaling, design, final, own, scores)
        else:  # never chosen, and several may wait until they are looked at
            yield _Candidate(step, rows, scaling, design, final, None, scores[:, :0])
        least = min(least, step.val_loss)
        strength = None if step.cut_short else following


def next_strength(tried: Mapping[float, float], near: float | None) -> float | None:
    """Return the strength to try next; None if no other will be better.

    Along a path there is one minimum. Near a strength, that one and those beside it are tried, and
    then others in the direction in which the loss falls.

    Args:
        tried: the validation loss of each strength until now, in their order.
        near: a strength that was best for nearly the same images; None: from strong to weak.
    """
    place = {strength: number for number, strength in enumerate(STRENGTHS)}
    if not tried:
        return STRENGTHS[0 if near is None else max(place[near] - 1, 0)]
    best, (*_, last) = min(tried, key=tried.__getitem__), tried
    weakest, strongest = place[min(tried)], place[max(tried)]
    turned = tried[last] > TURNED * tried[best]
    weaker = STRENGTHS[weakest + 1] if weakest + 1 < len(STRENGTHS) else None
    if near is None:
        return None if turned else weaker
    both_sides = last != min(tried) or weakest > place[near]
    if weaker is not None and (best == min(tried) or not (both_sides or turned)):
        return weaker
    return STRENGTHS[strongest - 1] if best == max(tried) and strongest > 0 else None


def _apart(strength: float, other: float) -> float:
    """Return how far a strength is from another one, in factors."""
    return max(strength / other, other / strength)


def _start(
    last: Solution | None, before: Sequence[Solution | None], now: Sequence[Solution]
) -> Floats | None:
    """Return weights to start a fold from: its last ones, moved as those of the first fold were.

    The folds share most of their rows, so they move alike from strength to strength: this saves a
    quarter of the steps.

    Args:
        last: the fold's own solution for the last strength, if there is one.
        before: the first fold's for the last strength.
        now: the first fold's for this strength; none for the first fold itself.
    """
    if last is None:
        return None
    if now and before[0] and len(last.weights) == len(now[0].weights):
        return last.weights + (now[0].weights - before[0].weights)
    return last.weights


def _judged(rows: Rows, solved: list[Solution]) -> Floats:
    """Return the scores of each row judged by, from the fold that judges by it: (labels, n)."""
    scores = np.empty((len(solved[0].scores), len(rows.truth)), np.float32)
    for fold, solution in zip(rows.folds, solved, strict=True):
        scores[:, fold.judged] = solution.scores
    return scores[:, rows.judged]


def _step(  # noqa: PLR0913, PLR0917
    taps: TapSet,
    strength: float,
    solved: list[Solution],
    scores: Floats,
    rows: Rows,
    least: float,
) -> PathStep:
    truth = rows.truth[rows.judged]
    val_loss = -float(scores[truth, np.arange(len(truth))].mean(dtype=np.float64))
    return PathStep(
        taps=taps,
        strength=strength,
        loss=float(np.mean([solution.loss for solution in solved])),
        accuracy=float(np.mean([solution.accuracy for solution in solved])),
        val_loss=val_loss,
        val_accuracy=float((scores.argmax(axis=0) == truth).mean()),
        turned=val_loss > TURNED * least,
        views=rows.views,
    )
