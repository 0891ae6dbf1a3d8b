"""Trains the head that a request asks for."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

import numpy as np
from threadpoolctl import threadpool_limits

from shared.engines.tensorflow_engine import load_tensorflow
from shared.models.manifest import HeadInfo
from trainer_service.backbones.architectures import Architecture
from trainer_service.phases.head.data import HeadData, Probabilities, Truth
from trainer_service.phases.head.explain import explained
from trainer_service.phases.head.layers.train import train_layers
from trainer_service.phases.head.nearby import Nearby
from trainer_service.phases.head.network import answers_of
from trainer_service.phases.head.progress import HeadProgress
from trainer_service.phases.head.regression.rows import Near, Setup, ViewRows
from trainer_service.phases.head.regression.search import (
    BESIDE,
    STRENGTHS,
    PathStep,
    SolvedHead,
    search,
    solve_on_training,
)
from trainer_service.phases.head.regression.threads import blas_threads, heads_at_once
from trainer_service.phases.head.solved import LinearHead, as_layers
from trainer_service.phases.work import Work
from trainer_service.requests.training import TapSet, TrainingRequest


@dataclass(frozen=True, slots=True)
class Head:
    """A trained head, and how its training went.

    Attributes:
        model: a `keras.Model`, float32 (n, info.features) to probabilities float32 (n, labels).
        taps: the layers of the backbone that it sees.
        info: what it is, and why.
        history: what is known of each epoch or attempt.
        best: the epoch or attempt, from 1, whose weights it has.
        validated: its answers to images that it has not learnt from, and their labels.
        solved: the same head, if it is a regression.
    """

    model: Any
    taps: TapSet
    info: HeadInfo
    history: list[dict[str, Any]]
    best: int
    validated: tuple[Probabilities, Truth]
    solved: LinearHead | None = None


@dataclass(frozen=True, slots=True)
class HeadTask:
    """What a head is trained for.

    Attributes:
        work: the training.
        architecture: its backbone.
        train: what the head learns from, with the features of all taps that were computed.
        validation: the same of the images that decide between heads.
        labels: in the order of the outputs.
        views: further views of the images that a regression is solved on, if they were asked for.
        doubles: the group of each image for training and then for validation, as `Setup` has it.
        near: what a regression is searched near; None if all are tried.
    """

    work: Work
    architecture: Architecture
    train: HeadData
    validation: HeadData
    labels: Sequence[str]
    views: ViewRows | None = None
    doubles: Truth | None = None
    near: Nearby | None = None

    @property
    def request(self) -> TrainingRequest:
        return self.work.record.request


def train_head(task: HeadTask) -> Head:
    """Train the head that a training asks for.

    Raises:
        TrainingCancelled: the training was cancelled.
        InvalidRequest: the loss is no longer a number, or a feature is none.
    """
    if task.request.head == "regression":
        return _regression(task)
    solved = search_regressions(task) if task.request.taps == "auto" else None
    return _layers(task, solved)


def head_of_training_images(task: HeadTask, chosen: HeadInfo) -> LinearHead:
    """Solve a regression that was chosen again, on the training images and their views alone.

    Args:
        task: its views, if there are some, are of training images only.
        chosen: the head that was chosen.

    Raises:
        TrainingCancelled: the training was cancelled.
    """
    taps, strength = cast("TapSet", chosen.taps), chosen.strength or STRENGTHS[0]
    with _blas_threads(task):
        solved = solve_on_training(_setup(task), taps, strength, task.work.check_cancelled)
    return LinearHead(*solved)


def search_regressions(task: HeadTask) -> SolvedHead:
    """Solve regressions on the tap sets that the request leaves open.

    Raises:
        TrainingCancelled: the training was cancelled.
        InvalidRequest: a feature is not a finite number.
    """
    setup, near = _setup(task), None if task.near is None else task.near.info
    viewed = task.views is not None
    most = (
        (len(setup.tap_sets) + viewed) * len(STRENGTHS) if near is None else (1 + viewed) * BESIDE
    )
    with _blas_threads(task), HeadProgress(task.work, most, near) as progress:
        return search(setup, progress.attempt, task.work.check_cancelled, progress.stops)


def _setup(task: HeadTask) -> Setup:
    request, architecture = task.request, task.architecture
    sets: tuple[TapSet, ...] = get_args(TapSet) if request.taps == "auto" else (request.taps,)
    return Setup(
        train=task.train,
        validation=task.validation,
        labels=len(task.labels),
        widths=architecture.widths_of(request.computed_taps),
        tap_sets={taps: len(architecture.widths_of(taps)) for taps in sets},
        class_weights=request.class_weights,
        seed=request.seed,
        views=task.views,
        near=None if task.near is None else Near(task.near.taps, task.near.strength),
        doubles=task.doubles,
        threads=heads_at_once(_multiplications(task), task.work.worker.threads),
    )


def _blas_threads(task: HeadTask) -> threadpool_limits:
    return blas_threads(_multiplications(task), task.work.worker.threads)


def _multiplications(task: HeadTask) -> int:
    """Return how many multiplications a product of all rows with a head takes."""
    rows = len(task.train.truth) + (len(task.views.images) if task.views else 0)
    return rows * int(task.train.features.shape[1]) * len(task.labels)


def _regression(task: HeadTask) -> Head:
    solved = search_regressions(task)
    truths = [task.train.truth] if solved.cross_validated else []
    truth = np.concatenate([*truths, task.validation.truth])
    info = HeadInfo(
        kind="regression",
        taps=solved.taps,
        features=len(solved.kernel),
        strength=solved.strength,
        cross_validated=solved.cross_validated,
        views=solved.views,
        val_losses=_least_losses(solved.path),
        view_losses=_losses_by_views(solved),
        near=task.near.info if task.near is not None and solved.near else None,
    )
    load_tensorflow(task.work.worker.threads)
    head = LinearHead(solved.kernel, solved.bias)
    return Head(
        model=as_layers(head),
        taps=solved.taps,
        info=explained(info, task.request.taps, len(truth), cut_short=_cut_short(solved)),
        history=[asdict(step) for step in solved.path],
        best=1 + min(range(len(solved.path)), key=lambda place: solved.path[place].val_loss),
        validated=(solved.probabilities, truth),
        solved=head,
    )


def _layers(task: HeadTask, solved: SolvedHead | None) -> Head:
    """Train layers on the taps that were asked for, or that a regression does best with."""
    request = task.request
    taps = request.computed_taps if solved is None else solved.taps
    width = task.architecture.feature_size_of(taps)
    train, validation = task.train.last(width), task.validation.last(width)
    load_tensorflow(task.work.worker.threads)
    with HeadProgress(task.work, request.epochs) as progress:
        trained = train_layers(train, validation, task.labels, request, progress.epoch)
    losses = {} if solved is None else _least_losses(solved.path)
    info = HeadInfo(
        kind="layers",
        taps=taps,
        features=width,
        temperature=round(trained.temperature, 4),
        val_losses=losses,
    )
    return Head(
        model=trained.model,
        taps=taps,
        info=explained(
            info, request.taps, len(validation.truth), cut_short=bool(solved and _cut_short(solved))
        ),
        history=list(trained.history),
        best=trained.best_epoch,
        validated=(answers_of(trained.model, validation.features), validation.truth),
    )


def _cut_short(solved: SolvedHead) -> bool:
    """Return whether the search has left strengths out because it took too long."""
    return any(step.cut_short for step in solved.path)


def _least_losses(path: Sequence[PathStep]) -> dict[str, float]:
    """Return the least validation loss of each tap set, without further views."""
    losses: dict[str, float] = {}
    for step in path:
        if step.views > 1:
            continue
        losses[step.taps] = min(step.val_loss, losses.get(step.taps, step.val_loss))
    return {taps: round(loss, 6) for taps, loss in losses.items()}


def _losses_by_views(solved: SolvedHead) -> dict[int, float]:
    """Return the least validation loss by how many views were learnt from, if views were tried."""
    losses: dict[int, float] = {}
    for step in solved.path:
        if step.taps == solved.taps:
            losses[step.views] = min(step.val_loss, losses.get(step.views, step.val_loss))
    return {views: round(loss, 6) for views, loss in losses.items()} if len(losses) > 1 else {}
