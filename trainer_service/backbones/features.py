"""Bottleneck features on disk, computed once per image.

    features/<space>/<shard>.npy      float16 (n, feature_size), or float32 if they need its range
    features/<space>/<shard>.json     an `_Index`, written last

A space is a backbone with its taps, weights, preprocessing and precision (`feature_space`). In it,
an image is known by the SHA-256 of its bytes, so all datasets with the same image share its
features.
The features are a cache: damaged ones count as missing, are removed, and are computed again.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError

from shared.documents import read_small
from shared.errors import InvalidRequest, first_fault
from shared.files import atomic_write, atomic_writer, is_fault_of_the_file
from shared.logs import get_logger
from trainer_service.errors import TransientFailure
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.stores import FEATURES_FOLDER

Features = npt.NDArray[np.float32]
#: Features as they lie on disk: float16 or float32, little-endian.
Stored = npt.NDArray[np.floating]

#: A shard has 256 images at most, each with a hash.
MOST_INDEX_BYTES = 2**24
#: A shard of the backbone with the most features, 8,960, takes 5 MB.
MOST_SHARD_BYTES = 2**26

_KIND = np.dtype("<f2")
_WIDE = np.dtype("<f4")
_KINDS = (_KIND, _WIDE)
#: The largest number of float16.
_MOST = float(np.finfo(_KIND).max)

log = get_logger(__name__)


class FeaturesGone(TransientFailure):
    title = "Features gone"

    def __init__(self, images: int) -> None:
        super().__init__(
            f"The features of {images} images were removed while the training ran. Submit "
            "the training again to compute them again."
        )


class BrokenFeatures(InvalidRequest):
    """A backbone gives infinities or NaN, so nothing can be learned from its features."""

    title = "Broken features"

    def __init__(self, broken: int, images: int) -> None:
        super().__init__(
            f"The features of {broken} of {images} images are infinite or not a number: expected "
            "pre-trained weights that are intact, and a precision that suits them. Try the "
            "setting HEADSTART_PRECISION=f32, or another file of weights."
        )


class Row(NamedTuple):
    """Where the features of an image are, and how many seconds it took to compute them."""

    shard: str
    position: int
    seconds: float


class _Index(BaseModel):
    """The index of a shard.

    Attributes:
        images: the SHA-256 of each image, in the order of the rows.
        seconds: how long it took to compute them.
        sha256: the hash of the file of features; indices of earlier releases have none.
    """

    images: list[str]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    sha256: str | None = None


class FeatureStore:
    """The features of one space.

    Args:
        store: the directory of the whole store.
        space: the key of what they were computed with.
        kind: the directory of all spaces of this kind, below the store.
        width: how many features each image has; shards of another number are damaged. None if any
            number will do.
    """

    def __init__(
        self, store: Path, space: str, kind: str = FEATURES_FOLDER, width: int | None = None
    ) -> None:
        self._directory = store / kind / space
        self._width = width

    def locate(self, images: Iterable[str] | None = None) -> dict[str, Row]:
        """Return where the features of images are, by the SHA-256 of each image.

        Args:
            images: the images to look for; the shards that hold them are read and checked. None
                returns all images, without a check.
        """
        return self._rows(None if images is None else set(images))[0]

    def _rows(self, wanted: set[str] | None) -> tuple[dict[str, Row], OSError | None]:
        """Return the result of `locate`, and the error if an index can't be read now."""
        rows: dict[str, Row] = {}
        unread: OSError | None = None
        for file in self._directory.glob("*.json"):
            shard = file.stem
            try:
                index = self._index(shard)
            except OSError as error:
                self._discard(shard, unread := error)
                continue
            if index is None or not (wanted is None or self._is_sound(shard, index, wanted)):
                continue
            seconds = index.seconds / max(1, len(index.images))
            for position, sha256 in enumerate(index.images):
                rows[sha256] = Row(shard, position, seconds)
        return rows, unread

    def _index(self, shard: str) -> _Index | None:
        """Return the index of a shard, or None if it is missing or damaged.

        Raises:
            OSError: it can't be read now.
        """
        file = self._directory / f"{shard}.json"
        try:
            return _Index.model_validate_json(read_small(file, MOST_INDEX_BYTES))
        except FileNotFoundError:
            pass  # removed meanwhile
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            self._discard(shard, error)
        except ValidationError as error:
            self._discard(shard, ValueError(first_fault(error)))
        return None

    def _is_sound(self, shard: str, index: _Index, wanted: set[str]) -> bool:
        """Return whether a shard holds a wanted image, and can be learned from.

        Its file has to be as it was written, and to hold numbers only: earlier releases also stored
        what is infinite or not a number.
        """
        if wanted.isdisjoint(index.images):
            return False
        try:
            _require_numbers(self._load(shard, len(index.images), index.sha256, self._width))
        except (OSError, ValueError) as error:
            self._discard(shard, error)
            return False
        return True

    def _load(
        self, shard: str, rows: int, sha256: str | None = None, length: int | None = None
    ) -> Stored:
        """Return the features of a shard.

        The file is read, not mapped: if a mapped file is truncated, the process dies.

        Args:
            shard: the name of the shard.
            rows: how many images it must have at least.
            sha256: the hash that its file must have; None if there is none to check.
            length: how many features each image must have; None if any number will do.

        Raises:
            ValueError: the file is damaged.
            OSError: it can't be read.
        """
        data = read_small(self._file(shard), MOST_SHARD_BYTES)
        if sha256 not in {None, hashlib.sha256(data).hexdigest()}:
            raise ValueError("its file is not what was written")
        return _features(data, rows, length)

    def _discard(self, shard: str, error: Exception) -> None:
        """Remove a damaged shard; one that only can't be read now is left as it is."""
        log.warning("damaged features count as missing", shard=shard, reason=str(error))
        if isinstance(error, OSError) and not is_fault_of_the_file(error):
            return
        for file in (self._directory / f"{shard}.json", self._file(shard)):
            with suppress(OSError):
                remove_tree(file)

    def _file(self, shard: str) -> Path:
        return self._directory / f"{shard}.npy"

    def use(self, shards: Iterable[str]) -> None:
        """Mark shards as used now; those that were used longest ago are removed first.

        A shard that is gone, damaged, or belongs to another user, is left as it is.

        Raises:
            OSError: the disk can't be used now.
        """
        for shard in shards:
            try:
                os.utime(self._directory / f"{shard}.json")
            except OSError as error:
                if not is_fault_of_the_file(error):
                    raise

    def holds(self, images: Sequence[str]) -> bool:
        """Return whether there is an undamaged shard of exactly these images; mark it as used."""
        shard = _name(images)
        self.use([shard])
        try:
            index = self._index(shard)
        except OSError as error:
            self._discard(shard, error)
            return False
        return index is not None and self._is_sound(shard, index, set(images))

    def names(self, images: Sequence[str]) -> bool:
        """Return whether there is a shard of exactly these images; it is not looked into."""
        return (self._directory / f"{_name(images)}.json").exists()

    def write(self, images: Sequence[str], features: Features, seconds: float) -> None:
        """Store one shard; writing the same images again replaces it.

        Args:
            images: SHA-256 of each image.
            features: float32 (len(images), feature_size). They are rounded to float16, which keeps
                eleven bits of each, unless one of them exceeds its range.
            seconds: how long it took to compute them.

        Raises:
            BrokenFeatures: some are infinite or not a number.
        """
        stored = _rounded(features)
        self._directory.mkdir(parents=True, exist_ok=True)
        shard = _name(images)
        header = BytesIO()
        np.lib.format.write_array_header_1_0(
            header, np.lib.format.header_data_from_array_1_0(stored)
        )
        digest = hashlib.sha256(header.getvalue())
        data = stored.data
        digest.update(data)
        with atomic_writer(self._file(shard)) as file:
            # Not np.save, whose error on a full disk names neither the reason nor the file.
            file.write(header.getvalue())
            file.write(data)
        index = _Index(images=list(images), seconds=seconds, sha256=digest.hexdigest())
        atomic_write(self._directory / f"{shard}.json", index.model_dump_json().encode())

    def read(self, images: Sequence[str], last: int | None = None) -> Features:
        """Return the features of the images, in their order.

        Args:
            images: SHA-256 of each image.
            last: how many features of each image to return, from the end; None returns all.

        Returns:
            float32 (n, last). Beside it, a single shard is in memory at a time.

        Raises:
            FeaturesGone: an image has no features here.
            OSError: they can't be read now.
            ValueError: there are fewer features than `last`.
        """
        features: Features | None = None
        length = self._width
        for shard, pairs in self._places(images).items():
            positions, indices = np.array(pairs).T
            stored = self._require(shard, indices, length)
            if features is None:
                length = stored.shape[1]
                features = np.empty((len(images), _width(last, length)), np.float32)
            features[positions] = stored[indices, -features.shape[1] :]
        return np.empty((0, last or 0), np.float32) if features is None else features

    def read_shard(self, images: Sequence[str]) -> Stored:
        """Return what was stored for exactly these images, as it lies on disk.

        Raises:
            FeaturesGone: it is not there any more, or damaged.
            OSError: it can't be read now.
        """
        return self._require(_name(images), np.arange(len(images)), self._width)

    def _places(self, images: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
        """Return for each shard the positions of its images, in `images` and in the shard.

        Raises:
            FeaturesGone: an image has no features here.
            OSError: an index can't be read now.
        """
        rows, unread = self._rows(None)
        if gone := sum(sha256 not in rows for sha256 in images):
            raise unread or FeaturesGone(gone)
        places: dict[str, list[tuple[int, int]]] = {}
        for position, sha256 in enumerate(images):
            row = rows[sha256]
            places.setdefault(row.shard, []).append((position, row.position))
        return places

    def _require(self, shard: str, indices: npt.NDArray[np.int_], length: int | None) -> Stored:
        """Return the features of a shard that has these rows, each of `length` if that is given.

        Raises:
            FeaturesGone: the shard is damaged; it is removed.
            OSError: it can't be read now.
        """
        try:
            return self._load(shard, int(indices.max()) + 1, length=length)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and not is_fault_of_the_file(error):
                raise
            self._discard(shard, error)
            raise FeaturesGone(len(indices)) from None


def _rounded(features: Features) -> Stored:
    """Return features in float16, or in float32 if float16 can't hold one of them; contiguous.

    Raises:
        BrokenFeatures: some are infinite or not a number.
    """
    if broken := int(np.count_nonzero(~np.isfinite(features).all(axis=1))):
        raise BrokenFeatures(broken, len(features))
    fits = np.abs(features).max(initial=0) <= _MOST
    return np.ascontiguousarray(features, _KIND if fits else _WIDE)


def _require_numbers(stored: Stored) -> None:
    """Check that features are finite.

    Raises:
        ValueError: some are not.
    """
    if not np.isfinite(stored).all():
        raise ValueError("some of its features are infinite or not a number")


def _width(last: int | None, length: int) -> int:
    if last is None:
        return length
    if not 0 < last <= length:
        raise ValueError(f"`last` should be from 1 to {length}, all features. Received: {last}.")
    return last


def _features(data: bytes, rows: int, length: int | None) -> Stored:
    """Return the features in the bytes of a file, without copying them.

    Raises:
        ValueError: the bytes are not as `write` makes them, or do not hold `length` features each
            of at least `rows` images.
    """
    file = BytesIO(data)
    try:
        np.lib.format.read_magic(file)
        shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # NumPy raises exceptions of any class
        raise ValueError(f"its file can't be read: {error}") from error
    fits = len(shape) == 2 and shape[0] >= rows and length in {None, shape[1]}  # noqa: PLR2004
    if not fits or kind not in _KINDS or by_columns:
        expected = f"at least {rows} rows of {length or 'any number of'} features"
        raise ValueError(f"expected float16 or float32, {expected}. Received: {kind} {shape}")
    return np.frombuffer(data, kind, shape[0] * shape[1], file.tell()).reshape(shape)


def _name(images: Sequence[str]) -> str:
    """Return the name of the shard that holds the features of these images."""
    return hashlib.sha256("".join(images).encode()).hexdigest()[:32]
