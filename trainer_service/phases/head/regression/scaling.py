"""Brings the features of several taps of a backbone to one scale, a block of rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.errors import InvalidRequest

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: How many rows are processed at a time: 22 MB of the widest features, and 0.3 s of products.
ROWS_AT_ONCE = 1024
#: How many features are processed at a time, where all rows are.
COLUMNS_AT_ONCE = 512
#: Keeps features that do not vary at all from being divided by zero.
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is taken from each feature, and what it is then divided by: float64 (d,) each.

    All features of a tap are divided by one number (docs/decisions/0003). So each tap counts by
    its width, whatever the scale of its activations.
    """

    mean: Doubles
    scale: Doubles

    def last(self, width: int) -> "Scaling":
        """Return the scaling of the last features alone."""
        return Scaling(self.mean[-width:], self.scale[-width:])

    def scaled(self, features: Floats) -> Floats:
        """Return the last features of each row, as many as the scaling has, scaled.

        The mean is subtracted before anything is multiplied: of a feature that varies little around
        a large mean, float32 would otherwise lose the variation.
        """
        columns = features[:, -len(self.mean) :]
        centred = np.subtract(columns, self.mean.astype(np.float32), dtype=np.float32)
        centred /= self.scale.astype(np.float32)
        return centred

    def columns(self, parts: Sequence[Floats]) -> Iterator[Floats]:
        """Yield all rows of the parts, scaled, some features at a time: float32 (n, few)."""
        width = len(self.mean)
        for start in range(0, width, COLUMNS_AT_ONCE):
            end = min(start + COLUMNS_AT_ONCE, width)
            few = Scaling(self.mean[start:end], self.scale[start:end])
            cut = [part[:, part.shape[1] - width :][:, start:end] for part in parts]
            yield few.scaled(np.concatenate(cut))

    def blocks(self, parts: Sequence[Floats]) -> Iterator[Floats]:
        """Yield all rows of the parts, scaled, a block at a time."""
        return (self.scaled(block) for block in blocks(parts))


def blocks(parts: Sequence[Floats]) -> Iterator[Floats]:
    """Yield the rows of the parts, in their order, `ROWS_AT_ONCE` at a time."""
    for part in parts:
        for start in range(0, len(part), ROWS_AT_ONCE):
            yield part[start : start + ROWS_AT_ONCE]


def measure(
    parts: Sequence[Floats], widths: Sequence[int], check_cancelled: Callable[[], None]
) -> Scaling:
    """Return the scaling of features, by the rows of some parts.

    Args:
        parts: the rows to measure; each part is (n, d).
        widths: how many of the d features each tap has, in their order.
        check_cancelled: called after each block.

    Raises:
        InvalidRequest: a feature is not a finite number.
    """
    rows = sum(len(part) for part in parts)
    total = np.zeros(sum(widths))
    for block in blocks(parts):
        check_cancelled()
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / rows
    if not np.isfinite(mean).all():
        raise InvalidRequest(
            "Expected weights of the backbone that give finite features. "
            f"Received: {np.count_nonzero(~np.isfinite(mean))} of {len(mean)} features that are not"
        )
    squares = np.zeros(sum(widths))
    for block in blocks(parts):
        check_cancelled()
        squares += np.square(block - mean).sum(axis=0)
    starts = np.cumsum([0, *widths[:-1]])
    variances = np.add.reduceat(squares, starts) / (rows * np.array(widths))
    return Scaling(mean, np.repeat(np.sqrt(np.maximum(variances, SMALLEST_VARIANCE)), widths))
