"""Minimises the loss of multinomial logistic regression with L2, by L-BFGS."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer_service.phases.head.regression.design import Design
from trainer_service.phases.head.regression.scaling import Floats

Check = Callable[[], None]

#: Pairs of steps and changes of the gradient that the curvature is estimated from.
MEMORY = 10
#: The loss that may be left to gain, in nats, as the curvature predicts it.
TOLERANCE = 1e-10
#: A guard against endless loops; the heads that were measured needed at most a tenth of it.
MOST_STEPS = 1000
#: The search ends after this many steps in which the loss left to gain was not halved: float32 is
#: not precise enough to get further.
PATIENCE = 30
#: A point on a line is good enough once the slope there is this share of that at its start.
FLATTER = 0.5
_MOST_TRIES = 30
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True, slots=True)
class Problem:
    """What a head is to fit.

    Attributes:
        design: the rows, of which there are n, in m coordinates.
        truth: the index of each row's label: int64 (n,).
        weights: float32 (n,), what each row counts in the loss; they sum up to about 1. Rows of
            weight 0 get logits, but have no influence on the weights.
        labels: how many there are.
    """

    design: Design
    truth: npt.NDArray[np.int64]
    weights: Floats
    labels: int

    @property
    def cost(self) -> float:
        """How many multiplications a step takes: for the logits, and for the gradient."""
        return 2.0 * self.labels * self.design.rows * (self.design.size + 1)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The weights with the least loss.

    Attributes:
        weights: float32 (labels, m + 1); the last column has the biases.
        logits: float32 (labels, n), of all rows of the problem.
        steps: how many were made.
        converged: whether what is left to gain is below the tolerance.
    """

    weights: Floats
    logits: Floats
    steps: int
    converged: bool


class _Point(NamedTuple):
    """The mean loss at some logits, without the penalty, and its derivative by each logit."""

    loss: float
    residual: Floats


def softmax(logits: Floats) -> Floats:
    """Return probabilities, (labels, n), of logits of the same shape."""
    powers: Floats = np.exp(logits - logits.max(axis=0))
    powers /= powers.sum(axis=0)
    return powers


def log_softmax(logits: Floats) -> Floats:
    """Return the logarithms of probabilities, (labels, n), of logits of the same shape."""
    shifted: Floats = logits - logits.max(axis=0)
    shifted -= np.log(np.exp(shifted).sum(axis=0))
    return shifted


def losses(logits: Floats, truth: npt.NDArray[np.int64]) -> Floats:
    """Return the cross-entropy of each column of logits, (labels, n), in nats: (n,)."""
    right: Floats = log_softmax(logits)[truth, np.arange(len(truth))]
    return -right


def _point(problem: Problem, logits: Floats) -> _Point:
    columns = np.arange(len(problem.truth))
    residual = logits - logits.max(axis=0)
    right = residual[problem.truth, columns]
    np.exp(residual, out=residual)
    norm = residual.sum(axis=0)
    loss = np.dot((np.log(norm) - right).astype(np.float64), problem.weights)
    residual *= problem.weights / norm
    residual[problem.truth, columns] -= problem.weights
    return _Point(float(loss), residual)


def starting_weights(problem: Problem) -> Floats:
    """Return weights of 0 and the biases that give each label its share of the rows."""
    shares = np.bincount(problem.truth, problem.weights, problem.labels)
    weights = np.zeros((problem.labels, problem.design.size + 1), np.float32)
    weights[:, -1] = np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    return weights


def minimise(  # noqa: PLR0913, PLR0917
    problem: Problem,
    strength: float,
    start: Floats,
    check_cancelled: Check,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> Minimum:
    """Minimise the mean cross-entropy plus strength / 2 x the squares of all weights but biases.

    Args:
        problem: what to fit.
        strength: of the penalty, above 0.
        start: weights to start from, float32 (labels, m + 1).
        check_cancelled: called at least once in each step; what it raises ends the search.
        tolerance: the loss that may be left to gain, in nats.
        most_steps: after so many, the weights are returned as they are then.
    """
    objective = _Objective(problem, strength, check_cancelled)
    weights, logits = start, objective.logits(start)
    point = _point(problem, logits)
    gradient = objective.gradient(weights, point)
    memory = _Memory(_Curvature(problem, strength, logits))
    least, since, steps = np.inf, 0, 0
    while (gain := memory.gain(gradient)) > tolerance and since < PATIENCE and steps < most_steps:
        since = 0 if gain < least / 2 else since + 1
        least = least if since else gain
        steps += 1
        direction = memory.direction(gradient)
        line = _Line(objective, weights, logits, direction)
        if line.slope(0, point) >= 0:
            break  # by rounding: what is left to gain is lost in it
        length, point = line.search(point)
        weights = weights + length * direction
        logits = logits + length * line.change
        last, gradient = gradient, objective.gradient(weights, point)
        memory.add(length * direction, gradient - last)
    return Minimum(weights, logits, steps, converged=gain <= tolerance)


@dataclass(frozen=True, slots=True)
class _Objective:
    """What is minimised."""

    problem: Problem
    strength: float
    check_cancelled: Check

    def logits(self, weights: Floats) -> Floats:
        """Return the logits of all rows: (labels, n)."""
        logits = self.problem.design.products(weights[:, :-1], self.check_cancelled)
        logits += weights[:, -1:]
        return logits

    def gradient(self, weights: Floats, point: _Point) -> Floats:
        """Return the derivative by each weight: (labels, m + 1)."""
        gradient = np.empty_like(weights)
        gradient[:, :-1] = self.problem.design.sums(point.residual, self.check_cancelled)
        gradient[:, :-1] += np.float32(self.strength) * weights[:, :-1]
        gradient[:, -1] = point.residual.sum(axis=1, dtype=np.float64)
        return gradient


class _Curvature:
    """An approximation of the Hessian that takes each label to be equally certain in all rows."""

    def __init__(self, problem: Problem, strength: float, logits: Floats) -> None:
        shares = softmax(logits)
        by_label = (shares * (1 - shares)) @ problem.weights
        self._factors: Floats = np.maximum(by_label, np.float32(_LEAST_CURVATURE))[:, None]
        self._spread, self._strength = problem.design.spread, strength

    def divided(self, gradient: Floats) -> Floats:
        """Return approximately the product of the inverse of the Hessian with a gradient."""
        divided: Floats = gradient / self._factors
        divided[:, :-1] = self._spread.divided(gradient[:, :-1], self._factors, self._strength)
        return divided


class _Memory:
    """The curvature, as L-BFGS corrects it by the last steps."""

    def __init__(self, curvature: _Curvature) -> None:
        self._curvature = curvature
        self._pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=MEMORY)
        self._factor = 1.0

    def gain(self, gradient: Floats) -> float:
        """Return approximately how much loss there is left to gain."""
        return float(np.vdot(gradient, self._curvature.divided(gradient))) / 2

    def add(self, step: Floats, change: Floats) -> None:
        """Note a step and how it changed the gradient."""
        curvature = float(np.vdot(step, change))
        if curvature <= 0:  # only a rounding error makes it so, as the loss is convex
            return
        self._pairs.append((step, change, curvature))
        self._factor = curvature / float(np.vdot(change, self._curvature.divided(change)))

    def direction(self, gradient: Floats) -> Floats:
        """Return the direction of the next step, by the two loops of L-BFGS."""
        direction = -gradient
        factors = []
        for step, change, curvature in reversed(self._pairs):
            factors.append(float(np.vdot(step, direction)) / curvature)
            direction -= factors[-1] * change
        direction = self._factor * self._curvature.divided(direction)
        for (step, change, curvature), factor in zip(self._pairs, reversed(factors), strict=True):
            direction += (factor - float(np.vdot(change, direction)) / curvature) * step
        return direction


class _Line:
    """The loss along a direction. Logits change in proportion, so the rows are not needed.

    Attributes:
        change: of the logits, in a step of length 1.
    """

    def __init__(
        self, objective: _Objective, weights: Floats, logits: Floats, direction: Floats
    ) -> None:
        self.change = objective.logits(direction)
        self._objective, self._logits = objective, logits
        self._inner = objective.strength * float(np.vdot(weights[:, :-1], direction[:, :-1]))
        self._square = objective.strength * float(np.vdot(direction[:, :-1], direction[:, :-1]))

    def slope(self, length: float, point: _Point) -> float:
        """Return the derivative of the loss by the length, at a length and the point there."""
        return float(np.vdot(point.residual, self.change)) + self._inner + length * self._square

    def _value(self, length: float, point: _Point) -> float:
        """Return the loss, without the part of the penalty that does not depend on the length."""
        return point.loss + length * self._inner + length**2 * self._square / 2

    def search(self, start: _Point) -> tuple[float, _Point]:
        """Return a length at which the loss is lower and much flatter, and the point there.

        The loss is convex, so its slope only rises: a root of the slope is bracketed and narrowed.
        """
        first = self.slope(0, start)
        low, low_slope, high, high_slope = 0.0, first, np.inf, np.inf
        length = 1.0
        for _ in range(_MOST_TRIES):
            self._objective.check_cancelled()
            point = _point(self._objective.problem, self._logits + length * self.change)
            slope = self.slope(length, point)
            lower = slope <= 0 or self._value(length, point) <= start.loss
            if lower and abs(slope) <= FLATTER * abs(first):
                break
            if slope > 0:
                high, high_slope = length, slope
            else:
                low, low_slope = length, slope
            length = _between(low, low_slope, high, high_slope)
        return length, point


def _between(low: float, low_slope: float, high: float, high_slope: float) -> float:
    """Return where to look for a slope of 0 next."""
    if np.isinf(high):
        return max(1.0, 3 * low)
    share = low_slope / (low_slope - high_slope)
    return low + (high - low) * min(max(share, 0.1), 0.9)
