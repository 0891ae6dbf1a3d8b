"""Tells whether a picture is like those that a version was trained on.

A version carries the embeddings of some of its training images: what the last layer of its
backbone gives, scaled to length 1. The distance of a picture is that to the nearest of them. How
unusual a distance is, is told by the distances of pictures that are known to be alike and are not
among them. For a picture of the same kind, all places in their order are equally likely, so
`known`, the share of them that are at least as far, is at most a with a probability of at most a
(docs/decisions/0043-unknown-pictures.md).
"""

import math
import sys
from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from shared.arrays import Shape, pack, unpack

#: The file of a version that has what is needed, relative to its directory.
UNKNOWN_FILE = "unknown.npz"
#: Images that a version carries at most, and the bytes that their embeddings may take.
MOST_IMAGES = 2000
MOST_EMBEDDING_BYTES = 4_500_000
#: Distances that a version carries at most.
MOST_DISTANCES = 5_000
#: How many of the nearest images are named.
NEAREST = 3
#: The distance of opposite embeddings.
FARTHEST = 2.0
#: The share of known pictures that may be called unknown, if a request does not say.
FALSE_ALARMS = 0.05

Embeddings = npt.NDArray[np.floating]
Distances = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

_BYTES_OF_A_HASH = 32


class Compared(NamedTuple):
    """How pictures compare with the images that a version carries.

    Attributes:
        known: float64 (n,), the share of known pictures that are at least as far; 1 for all if no
            distances of such are there.
        nearest: int64 (n, up to 3), the places of the nearest images, the nearest first.
        distances: float32 (n, up to 3), how far these are, from 0 to 2.
    """

    known: npt.NDArray[np.float64]
    nearest: Places
    distances: Distances


@dataclass(frozen=True, slots=True, eq=False)
class KnownImages:
    """The images that a version carries, and the distances of known pictures.

    Attributes:
        embeddings: float16 (n, width), each of length 1; n > 0.
        images: the SHA-256 of each, in hexadecimal.
        distances: float32 (m,), of pictures like these that are not among them, ascending.
    """

    embeddings: npt.NDArray[np.float16]
    images: tuple[str, ...]
    distances: Distances

    @property
    def width(self) -> int:
        return int(self.embeddings.shape[1])

    def pack(self) -> bytes:
        """Return the bytes of the file of a version."""
        hashes = np.frombuffer(bytes.fromhex("".join(self.images)), np.uint8)
        return pack({
            "embeddings": self.embeddings,
            "images": hashes.reshape(len(self.images), _BYTES_OF_A_HASH),
            "distances": self.distances,
        })  # fmt: skip

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return what the file of a version holds.

        Raises:
            ValueError: it holds something else.
        """
        arrays = unpack(data, {
            "embeddings": Shape("<f2", (None, None)),
            "images": Shape("|u1", (None, _BYTES_OF_A_HASH)),
            "distances": Shape("<f4", (None,)),
        })  # fmt: skip
        embeddings, images, distances = (
            arrays[name] for name in ("embeddings", "images", "distances")
        )
        if not 0 < len(embeddings) == len(images) or not embeddings.shape[1]:
            raise ValueError(
                "it should have as many embeddings as images, at least one. Received: "
                f"{embeddings.shape} and {len(images)}"
            )
        if not (np.isfinite(embeddings).all() and np.isfinite(distances).all()):
            raise ValueError("embeddings and distances should be finite numbers")
        if (np.diff(distances) < 0).any():
            raise ValueError("distances should ascend")
        return cls(embeddings, tuple(bytes(one).hex() for one in images), distances)


class Comparer:
    """Compares pictures with the images that a version carries; any thread may use it."""

    def __init__(self, known: KnownImages) -> None:
        self._embeddings = known.embeddings.astype(np.float32)
        self._distances = known.distances.tolist()
        self._count = min(NEAREST, len(self._embeddings))

    def compare(self, embeddings: Embeddings) -> Compared:
        """Compare pictures by their embeddings, float32 (n, width), n > 0, of any length.

        A picture whose embedding has no direction is as far as can be from all images.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            rows = [self._compare(embedding) for embedding in embeddings]
        known, nearest, distances = (list(column) for column in zip(*rows, strict=True))
        return Compared(
            np.array(known, np.float64),
            np.array(nearest, np.int64),
            np.array(distances, np.float32),
        )

    def _compare(self, embedding: Embeddings) -> tuple[float, list[int], list[float]]:
        """Return the row of a picture; few calls of NumPy, as each takes time in a request."""
        # Not a product of matrices: its threads wait for each other by spinning, which takes 20 ms
        # and more on a busy machine.
        products = np.vecdot(self._embeddings, embedding)
        places = products.argpartition(-self._count)[-self._count :]
        length = math.sqrt(float(embedding @ embedding))
        pairs = sorted(
            (_distance(product, length), place)
            for product, place in zip(products[places].tolist(), places.tolist(), strict=True)
        )
        distances = [distance for distance, _ in pairs]
        farther = len(self._distances) - bisect_left(self._distances, distances[0])
        share = (1 + farther) / (1 + len(self._distances))
        return share, [place for _, place in pairs], distances


def _distance(product: float, length: float) -> float:
    """Return a distance from 0 to 2, given the product of two embeddings, one of length 1."""
    away = 1 - product / length if length > 0 else math.nan
    # As the distances of known pictures are, so that equal ones are equal.
    return float(np.float32(min(max(away, 0), FARTHEST))) if math.isfinite(away) else FARTHEST


def scaled(embeddings: Embeddings) -> Distances:
    """Return embeddings scaled to length 1, float32; one without a direction stays 0."""
    rows = np.nan_to_num(np.asarray(embeddings, np.float32), posinf=0, neginf=0)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.zeros_like(rows)
    np.divide(rows, lengths, out=unit, where=lengths > 0)
    return unit


def known_shares(distances: Distances, of: Distances) -> npt.NDArray[np.float64]:
    """Return the share of known pictures that are at least as far, the picture itself included.

    Args:
        distances: of known pictures, ascending: (m,).
        of: those to be judged: (n,).

    Returns:
        float64 (n,), from 1 / (m + 1) to 1.
    """
    farther = len(distances) - np.searchsorted(distances, of, side="left")
    return (1 + farther) / (1 + len(distances))


def fewest_distances(false_alarms: float) -> int:
    """Return how many distances it takes to call pictures unknown at a rate of false alarms."""
    # `known` of a picture that is farther than all others is 1 / (m + 1).
    # 1 / 1e-320 is infinite.
    fewest = math.ceil(min(1 / false_alarms, sys.maxsize)) - 1
    return fewest if 1 / (1 + fewest) <= false_alarms else fewest + 1
