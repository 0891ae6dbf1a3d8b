"""Which rows a head is solved on, and which it is judged by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer_service.phases.few_images import are_few

Truth = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Folds of cross-validation; fewer rows than these make a fold each.
FOLDS = 5


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
    """Return whether the validation images are too few to choose a head by."""
    return are_few(int(np.bincount(train, minlength=labels).min()), len(validation))


def hold_out(train: int, validation: int) -> Fold:
    """Return the fold of rows of which the first are for training, the others to judge by."""
    solved = np.arange(train + validation) < train
    return Fold(solved, ~solved)


def stratified_folds(truth: Truth, seed: int, doubles: Truth | None = None) -> list[Fold]:
    """Return folds that judge each row once, and each label about as often in each fold.

    The rows of each label are shuffled and dealt out in turn; the next label goes on where the
    last one stopped, so that rare labels don't all meet in the first folds.

    Args:
        truth: the label of each row.
        seed: of the shuffling.
        doubles: the number of each row's group, or -1 if it is in none. A group goes where the
            first of its rows is dealt, whatever their labels: a head that has learnt from a row
            vouches for the label of whatever is nearly equal to it.
    """
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    dealt = shuffled[np.argsort(truth[shuffled], kind="stable")]
    number = np.empty(len(truth), np.int64)
    number[dealt] = np.arange(len(truth)) % FOLDS
    if doubles is not None:
        grouped = dealt[doubles[dealt] >= 0]
        _, first, group = np.unique(doubles[grouped], return_index=True, return_inverse=True)
        number[grouped] = number[grouped[first]][group]
    folds = [number == fold for fold in np.unique(number)]
    return [Fold(~judged, judged) for judged in folds]
