"""The rows that heads are solved on and judged by: images, and further views of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from trainer_service.phases.head.data import HeadData
from trainer_service.phases.head.regression.folds import (
    Fold,
    Truth,
    hold_out,
    needs_cross_validation,
    stratified_folds,
)
from trainer_service.phases.head.regression.scaling import Floats
from trainer_service.requests.training import TapSet

ClassWeights = Literal["none", "balanced"]


@dataclass(frozen=True, slots=True)
class ViewRows:
    """The further views of images, which are solved on beside these and never judged by.

    Attributes:
        count: how many views there are of an image, itself among them.
        images: to which image each row belongs: int64 (v,), its place among those for training
            and, behind them, those for validation. Only in cross-validation may these have views.
        read: returns the last so many features of each row, float32 (v, n). It is called once at
            most, for the taps that are best without views.
    """

    count: int
    images: Truth
    read: Callable[[int], Floats]


class Near(NamedTuple):
    """A choice that heads are searched near: the name of a set of taps, and a strength."""

    taps: TapSet
    strength: float


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
        views: further views of the images, if there are some.
        near: what was best for nearly the same images; None: all heads are tried.
        doubles: for each image of training and then of validation the number of its group, where
            images are nearly equal, or -1: int64 (n,). The images of a group are never divided
            between folds. None: there are no groups.
        threads: how many sets of taps, or folds, are worked on at a time.
    """

    train: HeadData
    validation: HeadData
    labels: int
    widths: Sequence[int]
    tap_sets: Mapping[TapSet, int]
    class_weights: ClassWeights = "none"
    seed: int = 0
    views: ViewRows | None = None
    near: Near | None = None
    doubles: Truth | None = None
    threads: int = 1


class Rows:
    """The rows of training, of views and of validation, and how heads are judged on them.

    Args:
        setup: the images.
        views: their further views, if those are solved on, too.
        width: how many features of each row are needed, from the end; None: all.

    Attributes:
        truth: of all rows, in this order: int64 (n,).
        parts: their features.
        counts: what each row counts, float32 (n,): those of an image together count 1.
        views: how many views of an image there are.
        crossed: whether heads are cross-validated.
        folds: one, or those of cross-validation; the views of an image are where the image is.
        final: the rows that the final head is solved on.
        judged: True for the rows that a fold judges by.
    """

    def __init__(
        self, setup: Setup, views: ViewRows | None = None, width: int | None = None
    ) -> None:
        train, validation = setup.train, setup.validation
        trained, images = len(train.truth), len(train.truth) + len(validation.truth)
        self.parts = [train.features, validation.features]
        image_of = np.arange(images)  # by row
        self.views = 1
        if views is not None:
            self.views = views.count
            self.parts.insert(1, views.read(width or sum(setup.widths)))
            image_of = np.insert(image_of, trained, views.images)
        truth = np.concatenate([train.truth, validation.truth])
        self.truth = truth[image_of]
        self.counts = shares_of_images(image_of)
        self.crossed = needs_cross_validation(train.truth, validation.truth, setup.labels)
        if self.crossed:
            folds = stratified_folds(truth, setup.seed, setup.doubles)
        else:
            folds = [hold_out(trained, len(validation.truth))]
        is_view = np.zeros(len(self.truth), bool)
        is_view[trained : trained + len(self.truth) - images] = True
        self.folds = [
            Fold(fold.solved[image_of], fold.judged[image_of] & ~is_view) for fold in folds
        ]
        everything = np.ones(len(self.truth), bool)
        self.final = Fold(everything, ~everything) if self.crossed else self.folds[0]
        self.judged = np.any([fold.judged for fold in self.folds], axis=0)

    @property
    def seen(self) -> list[Floats]:
        """The features of the rows that the final head is solved on."""
        return self.parts if self.crossed else self.parts[:-1]


def shares_of_images(image_of: Truth) -> Floats:
    """Return what each row counts, float32 (n,): the rows of an image together count 1.

    Args:
        image_of: the place of each row's image.
    """
    return (1 / np.bincount(image_of)[image_of]).astype(np.float32)


def check(setup: Setup) -> None:
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
    if setup.doubles is not None and setup.doubles.shape != truth.shape:
        raise ValueError(
            f"Expected the groups of {len(truth)} images. Received: {setup.doubles.shape}"
        )
    if setup.views is not None and len(setup.views.images):
        _check_views(setup, setup.views.images)


def _check_views(setup: Setup, images: Truth) -> None:
    """Check that views belong to images that heads are solved on: no other may be looked at.

    Raises:
        ValueError: they do not.
    """
    train, validation = setup.train.truth, setup.validation.truth
    crossed = needs_cross_validation(train, validation, setup.labels)
    known = len(train) + (len(validation) if crossed else 0)
    if not 0 <= images.min() <= images.max() < known:
        raise ValueError(
            f"Expected views of images from 0 to {known - 1}, which are learnt from. "
            f"Received: {images.min()} to {images.max()}"
        )
