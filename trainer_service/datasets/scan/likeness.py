"""Finds images that are nearly equal: copies in another size or quality, or of one burst.

Each image is known by its *look*, the 256 shades of grey that a small copy of it has. From these a
hash of 64 bits is made: whether each part is lighter than the one to its left. Two images are near
doubles if their hashes differ in a few bits, and if the detail of their shades, which is what
remains without their blur, agrees. The hash alone takes most photographs on a white ground for
each other; the detail tells them apart (docs/decisions/0046).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

#: Shades in a row, and in a column.
_SIDE = 16
#: Parts in a row, and in a column, that are compared for the hash.
_ACROSS, _DOWN = 9, 8

#: The hashes of near doubles differ in so many of 64 bits at most.
MOST_BITS = 5
#: The least correlation of the details of near doubles.
LEAST_CORRELATION = 0.98
#: An image whose detail varies less than this, in shades of 255, is plain: it looks like others.
LEAST_DETAIL = 1.0
#: How far the blur reaches, in shades.
_REACH = 2
#: More images than these are no group but a crowd: all of them in one part of the split would leave
#: the others without their kind, and in large collections one that is like the next one, and so on,
#: joins images that are not alike.
MOST_OF_A_GROUP = 100
#: Each image is compared with so many that follow it in each order.
_NEIGHBOURS = 48
#: Bits by which the hash is turned from order to order.
_TURN = 8
_IMAGES_AT_ONCE, _PAIRS_AT_ONCE = 512, 1024

_Hashes = npt.NDArray[np.uint64]
_Pairs = npt.NDArray[np.int64]
_Details = npt.NDArray[np.float32]


class Alike(NamedTuple):
    """Images that are nearly equal, as their places, in ascending order.

    Attributes:
        groups: those that belong together.
        crowds: those of which there are more than `MOST_OF_A_GROUP`.
    """

    groups: list[list[int]]
    crowds: list[list[int]]


def look_of(copy: Image.Image) -> bytes:
    """Return the look of an image, by an upright copy of it of any size."""
    return copy.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR).convert("L").tobytes()


def group_doubles(looks: Sequence[bytes]) -> Alike:
    """Return the groups and crowds of images that are nearly equal.

    Whoever is nearly equal to one of a group belongs to it.

    Args:
        looks: of each image, from `look_of`; "" of one that is in no group.
    """
    known = [place for place, look in enumerate(looks) if look]
    data = np.frombuffer(b"".join(looks[place] for place in known), np.uint8)
    shades = data.reshape(len(known), _SIDE * _SIDE)
    hashes = _hashes(shades)
    leaders = np.arange(len(known))
    for pairs in _candidates(hashes):
        _join(leaders, shades, pairs)
    return _groups(leaders, known)


def _hashes(shades: npt.NDArray[np.uint8]) -> _Hashes:
    """Return the hash of each image: uint64 (n,)."""
    means = _means(_DOWN) @ shades.reshape(-1, _SIDE, _SIDE).astype(np.float32) @ _means(_ACROSS).T
    parts = np.rint(means)
    lighter = (parts[:, :, 1:] > parts[:, :, :-1]).reshape(-1, 64)
    return np.packbits(lighter, axis=1).view(np.uint64).ravel()


def _means(parts: int) -> _Details:
    """Return the matrix that makes so many means of `_SIDE` shades: float32 (parts, `_SIDE`)."""
    ends = np.arange(parts + 1) * _SIDE / parts
    shades = np.arange(_SIDE)
    low, high = ends[:-1, None], ends[1:, None]
    share = np.clip(np.minimum(high, shades + 1) - np.maximum(low, shades), 0, 1)
    return np.asarray(share * parts / _SIDE, np.float32)


def _candidates(hashes: _Hashes) -> Iterator[_Pairs]:
    """Yield pairs of images whose hashes are close: (n, 2) each; some come more than once.

    The images are put in order of their hashes, and compared with those that follow. Hashes that
    differ in a bit are neighbours unless it is one of the first, so they are turned by a byte again
    and again. So the work grows with the number of images, however many look alike.
    """
    for turn in range(0, 64, _TURN):
        turned = (hashes << np.uint64(turn)) | (hashes >> np.uint64((64 - turn) % 64))
        order = np.argsort(turned, kind="stable")
        for start in range(0, len(hashes), _IMAGES_AT_ONCE):
            block = order[start : start + _IMAGES_AT_ONCE + _NEIGHBOURS]
            pairs = [_close(hashes, block, step, turn) for step in range(1, _NEIGHBOURS + 1)]
            yield np.concatenate(pairs)


def _close(hashes: _Hashes, block: _Pairs, step: int, turn: int) -> _Pairs:
    """Return the pairs of a block that are so many steps apart and have close hashes."""
    one, other = block[:-step][:_IMAGES_AT_ONCE], block[step:][:_IMAGES_AT_ONCE]
    differ = np.bitwise_count(hashes[one] ^ hashes[other])
    # Equal ones are as far apart in every order.
    close = (differ <= MOST_BITS) & ((differ > 0) | (turn == 0))
    return np.stack([one[close], other[close]], axis=1)


def _details(shades: npt.NDArray[np.uint8]) -> _Details:
    """Return the details of images, of length 1; 0 of plain ones: float32 (n, 256)."""
    pictures = shades.reshape(-1, _SIDE, _SIDE).astype(np.float32)
    details = pictures - _blurred(_blurred(pictures, 1), 2)
    details -= details.mean(axis=(1, 2), keepdims=True)
    flat = details.reshape(len(shades), _SIDE * _SIDE)
    lengths = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    lengths[lengths < LEAST_DETAIL * _SIDE] = np.inf
    flat /= lengths[:, None]
    return flat


def _blurred(pictures: _Details, axis: int) -> _Details:
    """Return the means of neighbours along an axis; the edges go on beyond it."""
    width = 2 * _REACH + 1
    padding = [(_REACH, _REACH) if number == axis else (0, 0) for number in range(3)]
    wide = np.pad(pictures, padding, mode="edge")
    blurred = np.zeros_like(pictures)
    for start in range(width):
        blurred += np.take(wide, range(start, start + _SIDE), axis=axis)
    blurred /= width
    return blurred


def _join(leaders: _Pairs, shades: npt.NDArray[np.uint8], pairs: _Pairs) -> None:
    """Put the images of each pair whose details agree into one group."""
    images, places = np.unique(pairs, return_inverse=True)
    details, places = _details(shades[images]), places.reshape(pairs.shape)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = places[start : start + _PAIRS_AT_ONCE]
        roots = _leaders(leaders, images[some])
        some = some[roots[:, 0] != roots[:, 1]]
        correlations = np.einsum("ij,ij->i", details[some[:, 0]], details[some[:, 1]])
        for one, other in images[some[correlations >= LEAST_CORRELATION]]:
            first, second = _leader(leaders, int(one)), _leader(leaders, int(other))
            leaders[max(first, second)] = min(first, second)


def _leaders(leaders: _Pairs, places: _Pairs) -> _Pairs:
    """Return the first image of the group of each of some images."""
    while not np.array_equal(found := leaders[places], places):
        places = found
    return places


def _leader(leaders: _Pairs, place: int) -> int:
    """Return the first image of the group of an image."""
    while leaders[place] != place:
        leaders[place] = leaders[leaders[place]]
        place = int(leaders[place])
    return place


def _groups(leaders: _Pairs, known: Sequence[int]) -> Alike:
    members: dict[int, list[int]] = {}
    for place in range(len(leaders)):
        members.setdefault(_leader(leaders, place), []).append(known[place])
    alike = [group for group in members.values() if len(group) > 1]
    return Alike(
        [group for group in alike if len(group) <= MOST_OF_A_GROUP],
        [group for group in alike if len(group) > MOST_OF_A_GROUP],
    )
