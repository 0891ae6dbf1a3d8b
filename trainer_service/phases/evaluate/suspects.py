"""Finds images whose label the other images contradict, by confident learning.

Each image is answered by a classifier that has not learnt from it, so its own label has no say. A
label is *confident* of an image if it is at least as probable as it is, on average, for the images
that have it. So each label is measured by itself: those that are rare, or hard to tell apart, do
not make all their images suspect. Of the images of a label of which any label is confident, the
share of which another one is tells how many of its labels are wrong, and those images are
suspected that are most clearly something else (Northcutt, Jiang and Chuang, "Confident Learning:
Estimating Uncertainty in Dataset Labels", 2021, pruned by noise rate).
"""

from dataclasses import dataclass
from typing import NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt

from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.head.data import (
    HeadData,
    Probabilities,
    Truth,
    doubles_of,
    head_data,
    truth_of,
)
from trainer_service.phases.head.fitting import Trained
from trainer_service.phases.head.regression.out_of_fold import answer_out_of_fold
from trainer_service.phases.head.regression.rows import Setup
from trainer_service.phases.head.regression.search import STRENGTHS
from trainer_service.phases.head.regression.threads import blas_threads, heads_at_once
from trainer_service.phases.work import Work
from trainer_service.requests.training import TapSet
from trainer_service.store.records.suspects import Part, Suspect

Mask = npt.NDArray[np.bool_]

PARTS: tuple[Part, ...] = get_args(Part)
#: Rows that are compared at a time.
_ROWS_AT_ONCE = 4096
#: No label is confident of an image.
_NO_LABEL = -1


class Contradicted(NamedTuple):
    """Images whose label is contradicted, the most clearly contradicted first.

    Attributes:
        places: of the images: int64 (k,).
        proposed: the index of the most probable other label: int64 (k,).
    """

    places: npt.NDArray[np.int64]
    proposed: Truth


@dataclass(frozen=True, slots=True)
class Found:
    """What the search for wrong labels has found.

    Attributes:
        suspects: the images whose label is contradicted, the most clearly contradicted first.
        images: how many were looked at.
        detail: what answered them, in a sentence or two.
    """

    suspects: list[Suspect]
    images: int
    detail: str


def find_suspects(work: Work, trained: Trained, test_probabilities: Probabilities) -> Found:
    """Find the images of all parts whose label the others contradict.

    The cross-validation of the head has answered the training and validation images already, by
    heads that have not learnt from them. Without it, regressions are solved for that.

    Args:
        work: the training.
        trained: its network and images.
        test_probabilities: float32 (n, labels), the network's answers to the test images.

    Raises:
        TrainingCancelled: the training was cancelled.
        FeaturesGone: features of the images were removed while the training ran.
    """
    parts = [(image, part) for part in PARTS for image in trained.splits[part]]
    images = [image for image, _ in parts]
    labels = sorted({image.label for image in images})
    if _is_cross_validated(trained):
        probabilities = np.concatenate([trained.validated[0], test_probabilities])
        detail = (
            "Each training and validation image was answered by the cross-validation, by a head "
            "that has not learnt from it, and each test image by the model."
        )
    else:
        probabilities, detail = _answer(work, trained, images, labels)
    truth = truth_of(images, labels)
    found = contradicted(probabilities, truth)
    suspects = [
        Suspect(
            image=images[place].name,
            sha256=images[place].sha256,
            label=images[place].label,
            proposed=labels[proposed],
            label_probability=round(float(probabilities[place, truth[place]]), 6),
            proposed_probability=round(float(probabilities[place, proposed]), 6),
            split=parts[place][1],
        )
        for place, proposed in zip(found.places, found.proposed, strict=True)
    ]
    return Found(suspects, len(images), detail)


def _is_cross_validated(trained: Trained) -> bool:
    """Return whether the published network is a regression that was cross-validated."""
    tuned = trained.tune is not None and trained.tune.published
    return trained.solved is not None and trained.head.cross_validated and not tuned


def _answer(
    work: Work, trained: Trained, images: list[ImageRecord], labels: list[str]
) -> tuple[Probabilities, str]:
    """Return what regressions that have not learnt from them answer, and a sentence on it."""
    head, request = trained.head, work.record.request
    backbone = trained.network.backbone.with_taps(cast("TapSet", head.taps))
    widths = backbone.architecture.widths_of(backbone.taps)
    everything = head_data(backbone, images, labels)
    trained_on = len(trained.splits["train"])  # the first of them
    known, others = (
        HeadData(everything.features[part], everything.truth[part])
        for part in (slice(trained_on), slice(trained_on, None))
    )
    multiplications, threads = everything.features.size * len(labels), work.worker.threads
    setup = Setup(
        train=known,
        validation=others,
        labels=len(labels),
        widths=widths,
        tap_sets={backbone.taps: len(widths)},
        class_weights=request.class_weights,
        seed=request.seed,
        doubles=doubles_of(images),
        threads=heads_at_once(multiplications, threads),
    )
    strengths = STRENGTHS if head.strength is None else (head.strength,)
    with blas_threads(multiplications, threads):
        answered = answer_out_of_fold(setup, strengths, work.check_cancelled)
    detail = (
        "The images were divided into five parts, and each part was answered by a regression on "
        f"the features ({head.taps}) that has learnt from the other four."
    )
    if answered.cut_short:
        detail += " With so many images and labels, they may not take as long as they need."
    return answered.probabilities, detail


def contradicted(probabilities: Probabilities, truth: Truth) -> Contradicted:
    """Return the images whose label is contradicted, those most clearly contradicted first.

    An image that is alone with its label can't be judged: nothing else shows what that looks like.
    A label that is no more probable for its own images than for the others was not learnt, so it
    contradicts none. Else all would be suspected where nothing can be told: an image's own label
    is a little rarer among those that its classifier has learnt from.

    Args:
        probabilities: float32 (n, labels), each row by a classifier that does not know the image.
        truth: int64 (n,), the index of each image's label; each label has an image.
    """
    n, labels = probabilities.shape
    counts = np.bincount(truth, minlength=labels)
    own = probabilities[np.arange(n), truth].astype(np.float64)
    usual = np.bincount(truth, own, labels) / counts
    elsewhere = (probabilities.sum(axis=0, dtype=np.float64) - usual * counts) / (n - counts)
    least = np.where(usual > elsewhere, usual, np.inf)
    confident, proposed = np.empty(n, np.int64), np.empty(n, np.int64)
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        block = probabilities[rows].copy()
        sure = np.where(block >= least, block, -1)
        confident[rows] = np.where(sure.max(axis=1) < 0, _NO_LABEL, sure.argmax(axis=1))
        block[np.arange(len(block)), truth[rows]] = -1
        proposed[rows] = block.argmax(axis=1)
    clearness = probabilities[np.arange(n), proposed] - own
    clearness[counts[truth] == 1] = 0
    against = (confident != _NO_LABEL) & (confident != truth) & (clearness > 0)
    wrong = _wrong_labels(truth, confident != _NO_LABEL, against, counts)
    order = np.argsort(-clearness, kind="stable")
    chosen = order[(_ranks(truth[order]) < wrong[truth[order]]) & (clearness[order] > 0)]
    return Contradicted(chosen, proposed[chosen])


def _wrong_labels(
    truth: Truth, confident: Mask, against: Mask, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return how many images of each label have it wrongly.

    Args:
        truth: the label of each image.
        confident: whether any label is confident of it.
        against: whether another label than its own is.
        counts: how many images each label has.
    """
    known = np.bincount(truth[confident], minlength=len(counts))
    contrary = np.bincount(truth[against], minlength=len(counts))
    return np.rint(counts * contrary / np.maximum(known, 1))


def _ranks(labels: Truth) -> npt.NDArray[np.int64]:
    """Return how often the label of each place was there before."""
    order = np.argsort(labels, kind="stable")
    grouped = labels[order]
    firsts = np.searchsorted(grouped, grouped)
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - firsts
    return ranks
