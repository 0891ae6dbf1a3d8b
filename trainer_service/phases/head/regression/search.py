"""Searches the taps and the strength of the penalty that make the best head."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.regression.design import Design, build_design
from trainer_service.phases.head.regression.folds import (
    Mask,
    Truth,
    hold_out,
    needs_cross_validation,
    stratified_folds,
)
from trainer_service.phases.head.regression.scaling import Floats, Scaling, measure
from trainer_service.phases.head.regression.solver import (
    TOLERANCE,
    Problem,
    log_softmax,
    losses,
    minimise,
    starting_weights,
)
from trainer_service.training_request import TapSet

Check = Callable[[], None]
ClassWeights = Literal["none", "balanced"]

#: From strong to weak. The best was 4 for 27 images, 1/4 for 300 and 1/16 for 1,500; the weakest
#: two are for tens of thousands, and are not reached otherwise (`TURNED`).
STRENGTHS = tuple(4.0**-power for power in range(-2, 7))
#: A validation loss this many times the least of its taps has clearly turned: along a path it has
#: one minimum, and a step beside the minimum it is 1 % to 5 % higher.
TURNED = 1.02
#: The loss that may be left to gain, in nats, while heads are compared: it changes the validation
#: loss by less than 0.0001. The chosen head is solved to the solver's own tolerance.
COMPARED = 1e-7
#: What a label that has no images in a fold is given there, as a count of images.
UNSEEN = 0.5


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
        turned: whether the validation loss has clearly turned here, so that the weaker strengths
            of these taps were not tried.
    """

    taps: TapSet
    strength: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    turned: bool = False


@dataclass(frozen=True, slots=True)
class SolvedHead:
    """The best head that was found, for raw features: softmax(features @ kernel + bias).

    Attributes:
        taps: the name of its set of taps.
        strength: of its penalty.
        kernel: float32 (features of its taps, labels).
        bias: float32 (labels,).
        path: what was tried, in this order.
        cross_validated: whether the heads were judged by cross-validation. Then the chosen one
            was solved on all training and validation images.
        probabilities: float32 (n, labels) of the images judged by: the validation images, or, if
            cross-validated, the training and then the validation images, each by a head that was
            solved without it.
    """

    taps: TapSet
    strength: float
    kernel: Floats
    bias: Floats
    path: list[PathStep]
    cross_validated: bool
    probabilities: Floats


@dataclass(frozen=True, slots=True)
class Setup:
    """What a head is searched for.

    Attributes:
        train: what the head is learned from.
        validation: what it is chosen by.
        labels: how many there are; each has an image in training.
        widths: how many of the features each tap has, early to late.
        tap_sets: how many of the last taps each set has, by its name.
        class_weights: "balanced" makes all labels count the same in the loss.
        seed: of the folds, and of the approach to the directions.
    """

    train: HeadData
    validation: HeadData
    labels: int
    widths: Sequence[int]
    tap_sets: Mapping[TapSet, int]
    class_weights: ClassWeights = "none"
    seed: int = 0


def search(setup: Setup, on_step: Callable[[PathStep], bool], check_cancelled: Check) -> SolvedHead:
    """Solve heads for all sets of taps and strengths, and return that of least validation loss.

    The least loss decides, even if a set of fewer taps comes close to it. The sets are compared on
    the very same images, so most of the noise of these cancels out, and further taps cost little:
    to prefer fewer within a standard error would give up what they gain on some hundred images.

    Args:
        setup: images, labels and taps.
        on_step: called after each strength. If it returns true, the search stops there and the
            best head so far is returned. What it raises ends the search.
        check_cancelled: called about every 0.3 s; what it raises ends the search.

    Raises:
        InvalidRequest: a feature is not a finite number.
        ValueError: the parts of the setup do not go together.
    """
    _check(setup)
    rows = _Rows(setup)
    path: list[PathStep] = []
    best: _Candidate | None = None
    for candidate in _candidates(setup, rows, check_cancelled):
        path.append(candidate.step)
        if best is None or candidate.step.val_loss < best.step.val_loss:
            best = candidate
        if on_step(candidate.step):
            break
    if best is None:
        raise ValueError("No validation loss is a number.")
    final = best.final.solve(best.step.strength, best.start, TOLERANCE, check_cancelled)
    kernel, bias = best.folded(final.weights)
    return SolvedHead(
        taps=best.step.taps,
        strength=best.step.strength,
        kernel=kernel,
        bias=bias,
        path=path,
        cross_validated=rows.crossed,
        probabilities=np.exp(best.scores if rows.crossed else final.scores[:, rows.judged]).T,
    )


def solve_on_training(
    setup: Setup, taps: TapSet, strength: float, check_cancelled: Check
) -> tuple[Floats, Floats]:
    """Solve the head of some taps and one strength on the training images alone.

    Args:
        setup: images, labels and taps.
        taps: the name of a set of taps.
        strength: of the penalty.
        check_cancelled: called about every 0.3 s; what it raises ends the search.

    Returns:
        For raw features: kernel, float32 (features of the taps, labels), and bias, float32
        (labels,).

    Raises:
        InvalidRequest: a feature is not a finite number.
    """
    _check(setup)
    parts, truth = [setup.train.features], setup.train.truth
    width = sum(setup.widths[-setup.tap_sets[taps] :])
    scaling = measure(parts, setup.widths, check_cancelled).last(width)
    design = build_design(parts, 1, scaling, setup.seed, check_cancelled)
    problem = _PartialProblem(design, truth, np.ones(len(truth), bool), setup)
    solved = problem.solve(strength, None, TOLERANCE, check_cancelled)
    return _folded(design, scaling, solved.weights)


class _Rows:
    """The rows of training and validation, and how heads are judged on them.

    Attributes:
        truth: of all rows, those of training first: int64 (n,).
        parts: their features.
        crossed: whether heads are cross-validated.
        folds: one, or those of cross-validation.
        final: True for the rows that the final head is solved on.
        judged: True for the rows that a fold judges by.
    """

    def __init__(self, setup: Setup) -> None:
        train, validation = setup.train.truth, setup.validation.truth
        self.truth = np.concatenate([train, validation])
        self.parts = [setup.train.features, setup.validation.features]
        self.crossed = needs_cross_validation(train, validation, setup.labels)
        if self.crossed:
            self.folds = stratified_folds(self.truth, setup.seed)
            self.final = np.ones(len(self.truth), bool)
        else:
            self.folds = [hold_out(len(train), len(validation))]
            self.final = self.folds[0].solved
        self.judged = np.any([fold.judged for fold in self.folds], axis=0)

    @property
    def seen(self) -> list[Floats]:
        """The features of the rows that the final head is solved on."""
        return self.parts if self.crossed else self.parts[:1]


class _Solution(NamedTuple):
    """A head that was solved on some of the rows.

    Attributes:
        weights: of the labels among these rows, float32 (labels, m + 1).
        scores: logarithms of the probabilities of all rows, float32 (all labels, n).
        loss: mean cross-entropy of the rows solved on, by class weights.
        accuracy: share of these rows that are classified right.
    """

    weights: Floats
    scores: Floats
    loss: float
    accuracy: float


class _PartialProblem:
    """A head to be solved on some of the rows, of the labels that these have.

    A label without a row among them gets the probability that half an image would give it,
    whatever the strength: solved for, it would tend to 0, its loss to infinity, and one image would
    decide between the heads.
    """

    def __init__(self, design: Design, truth: Truth, solved: Mask, setup: Setup) -> None:
        counts = np.bincount(truth[solved], minlength=setup.labels)
        self._truth, self._solved, self._labels = truth, solved, setup.labels
        self._present = np.flatnonzero(counts)
        by_label = np.ones(setup.labels)
        if setup.class_weights == "balanced":
            by_label = len(truth[solved]) / (len(self._present) * np.maximum(counts, 1))
        weights = np.where(solved, by_label[truth], 0) / np.count_nonzero(solved)
        places = np.zeros(setup.labels, np.int64)
        places[self._present] = np.arange(len(self._present))
        self._problem = Problem(
            design, places[truth], weights.astype(np.float32), len(self._present)
        )

    def solve(
        self, strength: float, start: Floats | None, tolerance: float, check_cancelled: Check
    ) -> _Solution:
        """Solve the head, from other weights on or, without any, from those of no penalty."""
        problem = self._problem
        first = starting_weights(problem) if start is None else start
        found = minimise(problem, strength, first, check_cancelled, tolerance)
        return _Solution(
            found.weights,
            self._scores(found.logits),
            float(losses(found.logits, problem.truth).astype(np.float64) @ problem.weights),
            float((found.logits.argmax(axis=0) == problem.truth)[self._solved].mean()),
        )

    def _scores(self, logits: Floats) -> Floats:
        images = np.count_nonzero(self._solved)
        total = images + UNSEEN * (self._labels - len(self._present))
        scores = np.full((self._labels, logits.shape[1]), np.log(UNSEEN / total), np.float32)
        scores[self._present] = log_softmax(logits) + np.float32(np.log(images / total))
        return scores


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A step of the path, and what the head is made of if it is the best.

    Attributes:
        step: how good it is.
        scaling: of the features of its taps.
        design: of the rows.
        final: the problem that its final head solves.
        start: weights to solve that from, if there are some.
        scores: logarithms of the probabilities of the rows judged by: float32 (labels, n).
    """

    step: PathStep
    scaling: Scaling
    design: Design
    final: _PartialProblem
    start: Floats | None
    scores: Floats

    def folded(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return kernel (d, labels) and bias (labels,) for features that are not scaled."""
        return _folded(self.design, self.scaling, weights)


def _folded(design: Design, scaling: Scaling, weights: Floats) -> tuple[Floats, Floats]:
    kernel = design.kernel(weights[:, :-1])
    bias = weights[:, -1] - scaling.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def _candidates(setup: Setup, rows: _Rows, check_cancelled: Check) -> Iterator[_Candidate]:
    """Yield a candidate for each set of taps, the smallest first, and each strength."""
    whole = measure(rows.seen, setup.widths, check_cancelled)
    for taps, count in sorted(setup.tap_sets.items(), key=lambda item: item[1]):
        scaling = whole.last(sum(setup.widths[-count:]))
        design = build_design(rows.parts, len(rows.seen), scaling, setup.seed, check_cancelled)
        folds = [_PartialProblem(design, rows.truth, fold.solved, setup) for fold in rows.folds]
        final = _PartialProblem(design, rows.truth, rows.final, setup) if rows.crossed else folds[0]
        solutions: Sequence[_Solution | None] = [None] * len(folds)
        least = np.inf
        for strength in STRENGTHS:
            solved: list[_Solution] = []
            for fold, last in zip(folds, solutions, strict=True):
                start = _start(last, solutions[:1], solved[:1])
                solved.append(fold.solve(strength, start, COMPARED, check_cancelled))
            scores = _judged(rows, solved)
            step = _step(taps, strength, solved, scores, rows.truth[rows.judged], least)
            own = None if rows.crossed else solved[0].weights
            yield _Candidate(step, scaling, design, final, own, scores)
            if step.turned:
                break
            least = min(least, step.val_loss)
            solutions = solved


def _start(
    last: _Solution | None, before: Sequence[_Solution | None], now: Sequence[_Solution]
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


def _judged(rows: _Rows, solved: list[_Solution]) -> Floats:
    """Return the scores of each row judged by, from the fold that judges by it: (labels, n)."""
    scores = np.empty_like(solved[0].scores)
    for fold, solution in zip(rows.folds, solved, strict=True):
        scores[:, fold.judged] = solution.scores[:, fold.judged]
    return scores[:, rows.judged]


def _step(  # noqa: PLR0913, PLR0917
    taps: TapSet,
    strength: float,
    solved: list[_Solution],
    scores: Floats,
    truth: Truth,
    least: float,
) -> PathStep:
    val_loss = -float(scores[truth, np.arange(len(truth))].mean(dtype=np.float64))
    return PathStep(
        taps=taps,
        strength=strength,
        loss=float(np.mean([solution.loss for solution in solved])),
        accuracy=float(np.mean([solution.accuracy for solution in solved])),
        val_loss=val_loss,
        val_accuracy=float((scores.argmax(axis=0) == truth).mean()),
        turned=val_loss > TURNED * least,
    )


def _check(setup: Setup) -> None:
    """Check that the parts of a setup go together.

    Raises:
        ValueError: they do not.
    """
    width = sum(setup.widths)
    for name, part in (("training", setup.train), ("validation", setup.validation)):
        if part.features.shape != (len(part.truth), width):
            raise ValueError(
                f"Expected {name} features of shape {(len(part.truth), width)}. "
                f"Received: {part.features.shape}"
            )
    for taps, count in setup.tap_sets.items():
        if not 1 <= count <= len(setup.widths):
            raise ValueError(
                f"Expected 1 to {len(setup.widths)} taps in the set {taps!r}. Received: {count}"
            )
    if not setup.tap_sets:
        raise ValueError("Expected a set of taps. Received none.")
    truth = np.concatenate([setup.train.truth, setup.validation.truth])
    if len(truth) and not 0 <= truth.min() <= truth.max() < setup.labels:
        raise ValueError(
            f"Expected truth from 0 to {setup.labels - 1}. Received: {truth.min()} to {truth.max()}"
        )
    counts = np.bincount(setup.train.truth, minlength=setup.labels)
    if not counts.all():
        raise ValueError(
            "Expected a training image of each label. "
            f"Received none of label {int(np.argmin(counts))}"
        )
