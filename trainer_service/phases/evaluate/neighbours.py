"""How far pictures are from the nearest of some images, also without those of a label."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from shared.models.unknown import FARTHEST, Distances
from trainer_service.phases.head.data import Truth

#: Pictures that are compared at a time.
_BLOCK = 512


class Reference(NamedTuple):
    """The images that pictures are compared with.

    Attributes:
        embeddings: float32 (n, width), of length 1, the images of a label side by side.
        truth: the label of each, ascending.
    """

    embeddings: npt.NDArray[np.float32]
    truth: Truth


class Neighbours(NamedTuple):
    """How far n pictures are from the images of a reference.

    Attributes:
        nearest: float32 (n,), from the nearest image.
        label: int64 (n,), the label of that.
        second: float32 (n,), from the nearest image of any other label than that.
        foreign: float32 (n,), from the nearest image of another label than the picture's own.
    """

    nearest: Distances
    label: Truth
    second: Distances
    foreign: Distances

    def without(self, label: int) -> Distances:
        """Return how far the pictures are from the nearest image of another label."""
        return np.where(self.label == label, self.second, self.nearest)

    def joined(self, *others: "Neighbours") -> "Neighbours":
        """Return these and then the others."""
        columns = zip(self, *others, strict=True)
        return Neighbours(*(np.concatenate(column) for column in columns))


def neighbours(
    reference: Reference,
    pictures: npt.NDArray[np.float32],
    truth: Truth,
    own: npt.NDArray[np.int64] | None = None,
) -> Neighbours:
    """Compare pictures with the images of a reference.

    Args:
        reference: the images.
        pictures: float32 (n, width), of length 1.
        truth: the label of each.
        own: the place of each picture in the reference, where it is not to be compared with itself;
            None if none is among them.
    """
    labels, starts = np.unique(reference.truth, return_index=True)
    parts = []
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(pictures), _BLOCK):
            block = slice(start, start + _BLOCK)
            away = 1 - pictures[block] @ reference.embeddings.T
            rows = np.arange(len(away))
            if own is not None:
                away[rows, own[block]] = FARTHEST
            by_label = np.clip(np.minimum.reduceat(away, starts, axis=1), 0, FARTHEST)
            parts.append(_of_block(by_label, labels, truth[block]))
    return parts[0].joined(*parts[1:])


def _of_block(by_label: Distances, labels: Truth, truth: Truth) -> Neighbours:
    """Return the neighbours of pictures, whose distance from each label's images is given."""
    rows = np.arange(len(by_label))
    best = by_label.argmin(axis=1)
    nearest = by_label[rows, best]
    others = by_label.copy()
    others[rows, best] = FARTHEST
    foreign = np.where(truth[:, np.newaxis] == labels, FARTHEST, by_label).min(axis=1)
    return Neighbours(nearest, labels[best], others.min(axis=1), foreign)
