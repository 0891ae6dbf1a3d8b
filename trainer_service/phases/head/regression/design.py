"""The rows that a head is solved on, in the coordinates that need the fewest products.

With L2 the best weights lie in the space that the rows span, and a rotation changes nothing. So
where there are few rows, or few features, each row is replaced by its coordinates along the
principal directions (`Rotated`): nothing is lost, there are fewer numbers to multiply, and since
the coordinates do not correlate, the curvature is known in each. Of many rows with many features,
the features are used as they are (`Direct`), without a copy, and the curvature is known along the
strongest directions alone.

Nothing else is cut: with the eight taps of MobileNetV2 and 2,040 images, three quarters of the
directions hold 99 % of the variance, and yet the loss on other images was up to 0.002 higher
without the rest (docs/decisions/0037).
"""

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from trainer_service.phases.head.regression.scaling import (
    Doubles,
    Floats,
    Scaling,
    blocks,
)

Check = Callable[[], None]

#: The largest matrix that is decomposed: it takes 2 s, in which nothing can be cancelled. It saves
#: three quarters of the work of a search.
MOST_DECOMPOSED = 2304
#: With many rows and many features, the directions are computed from this many of the rows.
SAMPLED_ROWS = 1024
#: How many directions the curvature of a `Direct` is computed along.
KNOWN_DIRECTIONS = 512
#: Directions are left out as rounding errors of float32 if their variance is below this share of
#: the strongest direction's.
NOISE = 1e-6


#: How many bytes of directions a process keeps for its next head.
KEPT_BYTES = 128 << 20


class Directions(NamedTuple):
    """The directions of rows.

    Attributes:
        values: the sums of the rows' squares along them, the largest first: (r,).
        basis: they themselves: (d, r).
        coordinates: of the rows along them, (n, r), if they were computed from the rows and all of
            them are known.
    """

    values: Doubles
    basis: Floats
    coordinates: Floats | None = None

    @property
    def nbytes(self) -> int:
        own = self.values.nbytes + self.basis.nbytes
        return own if self.coordinates is None else own + self.coordinates.nbytes


@dataclass(frozen=True, slots=True)
class Spread:
    """How far rows spread, for steps of the right length.

    Attributes:
        known: the mean square of the rows along each known direction: float64 (r,).
        rest: along any other direction.
        directions: the known ones, float32 (m, r); None if they are the coordinates themselves.
    """

    known: Doubles
    rest: float = 0.0
    directions: Floats | None = None

    def divided(self, gradient: Floats, factors: Floats, strength: float) -> Floats:
        """Return an approximation of Newton's step: the gradient divided by the curvature.

        Args:
            gradient: by the weights, without biases: float32 (labels, m).
            factors: the curvature of each label's loss along a direction with a mean square of 1:
                (labels, 1).
            strength: of the penalty.
        """
        known = factors * self.known.astype(np.float32) + np.float32(strength)
        if self.directions is None:
            return gradient / known
        rest = factors * np.float32(self.rest) + np.float32(strength)
        inner = gradient @ self.directions
        return gradient / rest + (inner / known - inner / rest) @ self.directions.T


class Design(ABC):
    """The rows of some parts, scaled, in coordinates of which there are m.

    Attributes:
        spread: of the rows that the coordinates were made for.
        size: how many coordinates there are.
        rows: how many rows.
    """

    spread: Spread
    size: int
    rows: int

    @abstractmethod
    def products(self, weights: Floats, check_cancelled: Check) -> Floats:
        """Return the product of each row with each label's weights: (labels, m) to (labels, n)."""

    @abstractmethod
    def sums(self, factors: Floats, check_cancelled: Check) -> Floats:
        """Return the sums of all rows, each times its factors: (labels, n) to (labels, m)."""

    @abstractmethod
    def kernel(self, weights: Floats) -> Doubles:
        """Return the matrix for raw features, (d, labels), that equals weights (labels, m)."""


class Rotated(Design):
    """Coordinates along the principal directions."""

    def __init__(
        self, coordinates: Floats, directions: Directions, spread: Doubles, scaling: Scaling
    ) -> None:
        self.spread = Spread(spread)
        self.rows, self.size = coordinates.shape
        self._coordinates, self._basis, self._scaling = coordinates, directions.basis, scaling

    def products(self, weights: Floats, check_cancelled: Check) -> Floats:
        return _products([self._coordinates], weights, check_cancelled)

    def sums(self, factors: Floats, check_cancelled: Check) -> Floats:
        return _sums([self._coordinates], factors, check_cancelled)

    def kernel(self, weights: Floats) -> Doubles:
        return (self._basis @ weights.T) / self._scaling.scale[:, None]


class Direct(Design):
    """The features themselves; they are scaled by way of the weights, not copied."""

    def __init__(self, parts: Sequence[Floats], spread: Spread, scaling: Scaling) -> None:
        self.spread = spread
        self.rows, self.size = sum(len(part) for part in parts), len(scaling.mean)
        self._parts = [part[:, -self.size :] for part in parts]
        self._mean = scaling.mean.astype(np.float32)
        self._scale = scaling.scale.astype(np.float32)

    def products(self, weights: Floats, check_cancelled: Check) -> Floats:
        scaled = weights / self._scale
        products = _products(self._parts, scaled, check_cancelled)
        products -= (scaled @ self._mean)[:, None]
        return products

    def sums(self, factors: Floats, check_cancelled: Check) -> Floats:
        sums = _sums(self._parts, factors, check_cancelled)
        sums -= np.outer(factors.sum(axis=1, dtype=np.float64), self._mean).astype(np.float32)
        return sums / self._scale

    def kernel(self, weights: Floats) -> Doubles:
        return weights.T.astype(np.float64) / self._scale[:, None]


def _products(parts: Sequence[Floats], weights: Floats, check_cancelled: Check) -> Floats:
    """Return the product of each row of the parts with each label's weights: (labels, n)."""
    products = np.empty((len(weights), sum(len(part) for part in parts)), np.float32)
    start = 0
    for block in blocks(parts):
        check_cancelled()
        products[:, start : start + len(block)] = weights @ block.T
        start += len(block)
    return products


def _sums(parts: Sequence[Floats], factors: Floats, check_cancelled: Check) -> Floats:
    """Return the sums of all rows of the parts, each times its factors: (labels, m)."""
    sums = np.zeros((len(factors), parts[0].shape[1]), np.float32)
    start = 0
    for block in blocks(parts):
        check_cancelled()
        sums += factors[:, start : start + len(block)] @ block
        start += len(block)
    return sums


def build_design(
    parts: Sequence[Floats], seen: int, scaling: Scaling, seed: int, check_cancelled: Check
) -> Design:
    """Return the rows of all parts in the coordinates that suit the first ones.

    Args:
        parts: each is (n, d).
        seen: how many parts, from the first on, the coordinates are chosen by.
        scaling: of the last features of each row; the features before them are not used.
        seed: of the sample of rows that the curvature of many rows is measured on.
        check_cancelled: called about every 0.3 s; what it raises ends the work.
    """
    own = parts[:seen]
    rows, features = sum(len(part) for part in own), len(scaling.mean)
    if min(rows, features) > MOST_DECOMPOSED:
        return Direct(parts, _sampled_spread(own, scaling, seed, check_cancelled), scaling)
    if features < rows:
        products = _products_of_features(own, scaling, check_cancelled)
        found = _known.get(_hash_of([products]), lambda: _decomposed(products))
    else:
        found = _directions(own, scaling, rows, check_cancelled)
    coordinates = np.empty((sum(len(part) for part in parts), len(found.values)), np.float32)
    start = 0
    if found.coordinates is not None:
        start, parts = rows, parts[seen:]
        coordinates[:start] = found.coordinates
    _project(scaling.blocks(parts), found.basis, coordinates[start:], check_cancelled)
    return Rotated(coordinates, found, found.values / rows, scaling)


def _project(
    rows: Iterable[Floats], basis: Floats, coordinates: Floats, check_cancelled: Check
) -> None:
    """Write the coordinates of rows, which come in blocks, along the directions of a basis."""
    start = 0
    for block in rows:
        check_cancelled()
        np.matmul(block, basis, out=coordinates[start : start + len(block)])
        start += len(block)


class _Known:
    """The latest directions, for the next head on the very same rows.

    Directions depend on the features alone. So after a correction of labels, which leaves the rows
    as they are, a worker that is warm need not compute them again, and solves the same problem to
    the last bit. They are known by a hash of the numbers that they are computed from.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, Directions] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes, compute: Callable[[], Directions]) -> Directions:
        """Return directions, computed unless they are known. Several threads may ask at a time.

        Args:
            key: a hash of what they are computed from.
            compute: does it.
        """
        with self._lock:
            found = self._kept.get(key)
        found = found or compute()
        with self._lock:
            self._kept[key] = found
            self._kept.move_to_end(key)
            while self._bytes() > self._most_bytes:
                self._kept.popitem(last=False)
        return found

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def _bytes(self) -> int:
        return sum(one.nbytes for one in self._kept.values())


def _hash_of(blocks: Iterable[Floats], most: int = 0) -> bytes:
    """Return a hash of numbers, which come in blocks, and of how many directions are wanted."""
    said = hashlib.blake2b(str(most).encode(), digest_size=16)
    for block in blocks:
        said.update(str(block.shape).encode())
        said.update(np.ascontiguousarray(block).data)
    return said.digest()


_known = _Known(KEPT_BYTES)


def _sampled_spread(
    parts: Sequence[Floats], scaling: Scaling, seed: int, check_cancelled: Check
) -> Spread:
    rows = sum(len(part) for part in parts)
    chosen = np.random.default_rng(seed).choice(rows, SAMPLED_ROWS, replace=False)
    chosen.sort()
    sample, start = [], 0
    for part in parts:
        sample.append(part[chosen[(chosen >= start) & (chosen < start + len(part))] - start])
        start += len(part)
    values, basis, _ = _directions(sample, scaling, KNOWN_DIRECTIONS, check_cancelled)
    total = sum(float(np.square(block).sum(dtype=np.float64)) for block in scaling.blocks(sample))
    others = len(scaling.mean) - len(values)
    rest = max(total - float(values.sum()), 0) / others
    return Spread(values / SAMPLED_ROWS, rest / SAMPLED_ROWS, basis)


def _directions(
    parts: Sequence[Floats], scaling: Scaling, most: int, check_cancelled: Check
) -> Directions:
    """Return rows' strongest directions, at most so many, with coordinates if these are all.

    The scaled rows are never there as a whole: they would take as much memory as the features.
    """
    rows, features = sum(len(part) for part in parts), len(scaling.mean)

    def compute() -> Directions:
        products = np.zeros((rows, rows), np.float32)
        for columns in scaling.columns(parts):
            check_cancelled()
            products += columns @ columns.T
        values, vectors, _ = _decomposed(products)
        values, vectors = values[:most], vectors[:, :most]
        vectors = (vectors / np.sqrt(values)).astype(np.float32)
        basis = np.empty((features, len(values)), np.float32)
        start = 0
        for columns in scaling.columns(parts):
            check_cancelled()
            np.matmul(columns.T, vectors, out=basis[start : start + columns.shape[1]])
            start += columns.shape[1]
        if most < rows:
            return Directions(values, basis)
        coordinates = np.empty((rows, len(values)), np.float32)
        _project(scaling.blocks(parts), basis, coordinates, check_cancelled)
        return Directions(values, basis, coordinates)

    return _known.get(_hash_of(scaling.blocks(parts), most), compute)


def _products_of_features(
    parts: Sequence[Floats], scaling: Scaling, check_cancelled: Check
) -> Floats:
    matrix = np.zeros((len(scaling.mean), len(scaling.mean)), np.float32)
    for block in scaling.blocks(parts):
        check_cancelled()
        matrix += block.T @ block
    return matrix


def _decomposed(matrix: npt.NDArray[np.float32]) -> Directions:
    """Return the eigenvalues of a matrix, the largest first, and their vectors, without noise.

    One thread does it: on a busy machine two, which wait for each other by spinning, took six times
    the CPU time, and up to 14 s.
    """
    with threadpool_limits(1, user_api="blas"):
        values, vectors = np.linalg.eigh(matrix)
    good = values > max(NOISE * values[-1], 0)
    kept = np.ascontiguousarray(vectors[:, good][:, ::-1])
    return Directions(values[good][::-1].astype(np.float64), kept)
