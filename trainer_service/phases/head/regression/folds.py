"""Which rows a head is solved on, and which it is judged by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Truth = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Folds of cross-validation; fewer rows than these make a fold each.
FOLDS = 5
#: Below this count of training images of the rarest label, a head is cross-validated.
FEWEST_OF_A_LABEL = 50
#: A head is also cross-validated below this count of validation images.
FEWEST_VALIDATED = 200


@dataclass(frozen=True, slots=True)
class Fold:
    """One way to divide the rows.

    Attributes:
        solved: True for the rows that a head is solved on: (n,).
        judged: True for those that it is judged by; they are others.
    """

    solved: Mask
    judged: Mask


def needs_cross_validation(train: Truth, validation: Truth, labels: int) -> bool:
    """Return whether the validation images are too few to choose a head by.

    The rarest label decides, not the average one: a head can't be judged by its few validation
    images, and it gains most if the head learns from all of its images. Its training images are
    counted, as the number of its validation images follows from theirs.
    """
    rarest = np.bincount(train, minlength=labels).min()
    return bool(rarest < FEWEST_OF_A_LABEL or len(validation) < FEWEST_VALIDATED)


def hold_out(train: int, validation: int) -> Fold:
    """Return the fold of rows of which the first are for training, the others to judge by."""
    solved = np.arange(train + validation) < train
    return Fold(solved, ~solved)


def stratified_folds(truth: Truth, seed: int) -> list[Fold]:
    """Return folds that judge each row once, and each label about as often in each fold.

    The rows of each label are shuffled and dealt out in turn; the next label goes on where the
    last one stopped, so that rare labels don't all meet in the first folds.
    """
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    dealt = shuffled[np.argsort(truth[shuffled], kind="stable")]
    number = np.empty(len(truth), np.int64)
    number[dealt] = np.arange(len(truth)) % FOLDS
    folds = [number == fold for fold in range(min(FOLDS, len(truth)))]
    return [Fold(~judged, judged) for judged in folds]
