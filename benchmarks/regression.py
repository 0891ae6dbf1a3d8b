"""Compares the search for a regression head with solving each strength plainly, from zero.

Both minimise the same loss for the same sets of taps and the same strengths, to about the same
losses. Plainly means: on the features as they are, without knowing the curvature, and without the
solution for the last strength to start from.
"""

import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.tools.isolation import isolated
from benchmarks.tools.rows import Row
from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.regression.design import Direct, Spread
from trainer_service.phases.head.regression.rows import Setup
from trainer_service.phases.head.regression.scaling import measure
from trainer_service.phases.head.regression.search import (
    COMPARED,
    STRENGTHS,
    TURNED,
    PathStep,
    search,
)
from trainer_service.phases.head.regression.solver import (
    Problem,
    losses,
    minimise,
    starting_weights,
)
from trainer_service.requests.training import TapSet

#: Of MobileNetV2's eight taps.
WIDTHS = [144, 192, 384, 576, 960, 960, 960, 1280]
TAP_SETS: dict[TapSet, int] = {"last": 1, "late": 3, "all": 8}
#: Directions in which the made-up images differ; their spread falls off as that of real ones.
HIDDEN = 1500
AT_ONCE = 1024
#: Without the curvature, the loss that is left to gain looks smaller than it is.
PLAIN_TOLERANCE = COMPARED / 100


class Case(NamedTuple):
    """How many images there are for training and validation, and how many labels."""

    train: int
    validation: int
    labels: int


CASES = [Case(3000, 600, 6), Case(3000, 600, 50), Case(23_262, 3000, 2)]
#: Each label has 20 images: these are cross-validated, so there is nothing to compare with.
CROSSED = Case(1700, 300, 100)
QUICK = Case(200, 200, 2)


class Measured(NamedTuple):
    """What a search took: seconds of a clock and of all processors, and MB at its peak."""

    seconds: float
    processor: float
    peak: float
    least: float


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure the cases, or only a small one if `quick`."""
    del directory
    rows: list[Row] = []
    for case in [QUICK] if quick else CASES:
        plain, ours = isolated(plainly, case), isolated(headstart, case)
        name = _name(case)
        note = f"{plain.processor:.0f} s of processors, {plain.peak:.0f} MB, {plain.least:.4f} nats"
        rows.append(Row("regression", name, "plainly", plain.seconds, "s", note=note))
        rows.append(_row(name, ours, plain.seconds / ours.seconds))
    if not quick:
        rows.append(_row(_name(CROSSED) + ", five folds", isolated(headstart, CROSSED), None))
    return rows


def _name(case: Case) -> str:
    return f"{case.train} images, {case.labels} labels"


def _row(name: str, ours: Measured, ratio: float | None) -> Row:
    note = f"{ours.processor:.0f} s of processors, {ours.peak:.0f} MB, {ours.least:.4f} nats"
    return Row(
        "regression", name, "Headstart", ours.seconds, "s", ratio, "as fast as plainly", note
    )


def headstart(case: Case) -> Measured:
    """Return what the search takes."""
    setup = _setup(case)
    return _measured(lambda: search(setup, _ignore, _never).path)


def plainly(case: Case) -> Measured:
    """Return what it takes without what makes the search fast."""
    return _measured(partial(_plain_path, _setup(case)))


def _plain_path(setup: Setup) -> list[PathStep]:
    parts = [setup.train.features, setup.validation.features]
    truth = np.concatenate([setup.train.truth, setup.validation.truth])
    images = len(setup.train.truth)
    weights = np.where(np.arange(len(truth)) < images, 1 / images, 0).astype(np.float32)
    whole = measure(parts[:1], WIDTHS, _never)
    path: list[PathStep] = []
    for taps, count in TAP_SETS.items():
        width = sum(WIDTHS[-count:])
        unknown = Spread(np.empty(0), rest=1.0, directions=np.empty((width, 0), np.float32))
        design = Direct(parts, unknown, whole.last(width))
        problem = Problem(design, truth, weights, setup.labels)
        least = np.inf
        for strength in STRENGTHS:
            found = minimise(problem, strength, starting_weights(problem), _never, PLAIN_TOLERANCE)
            loss = float(losses(found.logits, truth)[images:].mean())
            path.append(PathStep(taps, strength, 0, 0, loss, 0))
            if loss > TURNED * least:
                break
            least = min(least, loss)
    return path


def _measured(work: Callable[[], list[PathStep]]) -> Measured:
    started, processor = time.perf_counter(), time.process_time()
    path = work()
    return Measured(
        time.perf_counter() - started,
        time.process_time() - processor,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        min(step.val_loss for step in path),
    )


def _setup(case: Case) -> Setup:
    """Return made-up features, which correlate as real ones do, of labels that overlap."""
    random = np.random.default_rng(0)
    width = sum(WIDTHS)
    mixing = random.standard_normal((HIDDEN, width), np.float32)
    mixing *= (np.arange(1, HIDDEN + 1) ** -0.6).astype(np.float32)[:, None]
    centres = random.standard_normal((case.labels, HIDDEN), np.float32) * 0.06
    images = case.train + case.validation
    truth = np.arange(images) % case.labels
    features = np.empty((images, width), np.float32)
    for start in range(0, images, AT_ONCE):
        part = truth[start : start + AT_ONCE]
        hidden = random.standard_normal((len(part), HIDDEN), np.float32) + centres[part]
        noise = random.standard_normal((len(part), width), np.float32)
        features[start : start + AT_ONCE] = np.maximum(hidden @ mixing + 0.8 * noise + 1, 0)
    cut = case.train
    return Setup(
        HeadData(features[:cut], truth[:cut]),
        HeadData(features[cut:], truth[cut:]),
        case.labels,
        WIDTHS,
        TAP_SETS,
    )


def _never() -> None:
    """Nobody cancels."""


def _ignore(_: PathStep) -> bool:
    """Ignore progress, and never stop."""
    return False
