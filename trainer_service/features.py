"""Bottleneck features on disk, computed once per image.

    features/<space>/<shard>.npy      float32 (n, feature_size)
    features/<space>/<shard>.json     {"images": [sha256, …], "seconds": …}, written last

A space is one backbone with its weights, preprocessing and precision (`feature_space`); within it
an image is known by the SHA-256 of its bytes, so any dataset that holds the image shares its row.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.errors import HeadstartError
from shared.files import atomic_write, atomic_writer

Features = npt.NDArray[np.float32]


class FeaturesGone(HeadstartError):
    title = "Features gone"

    def __init__(self, images: int) -> None:
        super().__init__(
            f"The features of {images} images were removed while the training ran. Submitted "
            "again, it computes them anew."
        )


class Row(NamedTuple):
    """Where an image's features lie, and the seconds that computing them took."""

    shard: str
    position: int
    seconds: float


class FeatureStore:
    """The features of one space."""

    def __init__(self, store: Path, space: str) -> None:
        self._directory = store / "features" / space

    def locate(self) -> dict[str, Row]:
        """Return where the features of each known image lie, by the image's SHA-256."""
        rows: dict[str, Row] = {}
        for file in self._directory.glob("*.json"):
            try:
                shard = json.loads(file.read_bytes())
            except FileNotFoundError:
                continue  # removed meanwhile
            seconds = shard["seconds"] / max(1, len(shard["images"]))
            for index, sha256 in enumerate(shard["images"]):
                rows[sha256] = Row(file.stem, index, seconds)
        return rows

    def use(self, shards: Iterable[str]) -> None:
        """Note that shards are used: what is used least is removed first."""
        for shard in shards:
            with suppress(FileNotFoundError):
                os.utime(self._directory / f"{shard}.json")

    def holds(self, images: Sequence[str]) -> bool:
        """Tell whether these images were stored as one shard, and note that it is used."""
        shard = _name(images)
        self.use([shard])
        return (self._directory / f"{shard}.json").exists()

    def write(self, images: Sequence[str], features: Features, seconds: float) -> None:
        """Store one shard; writing the same images again replaces it.

        Args:
            images: SHA-256 of each image.
            features: float32 (len(images), feature_size).
            seconds: how long computing them took.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        shard = _name(images)
        with atomic_writer(self._directory / f"{shard}.npy") as file:
            # Like np.save, which on a full disk says neither that it is full nor which file it was.
            np.lib.format.write_array_header_1_0(
                file, np.lib.format.header_data_from_array_1_0(features)
            )
            file.write(np.ascontiguousarray(features).data)
        index = json.dumps({"images": list(images), "seconds": seconds})
        atomic_write(self._directory / f"{shard}.json", index.encode())

    def read(self, images: Sequence[str]) -> Features:
        """Return the features of the images, in their order: float32 (n, feature_size).

        Raises:
            FeaturesGone: an image has no features here.
        """
        rows = self.locate()
        if gone := sum(sha256 not in rows for sha256 in images):
            raise FeaturesGone(gone)
        places: dict[str, list[tuple[int, int]]] = {}
        for position, sha256 in enumerate(images):
            row = rows[sha256]
            places.setdefault(row.shard, []).append((position, row.position))
        features: Features | None = None
        for shard, pairs in places.items():
            try:
                stored = np.load(self._directory / f"{shard}.npy", mmap_mode="r")
            except FileNotFoundError:
                raise FeaturesGone(len(pairs)) from None
            if features is None:
                features = np.empty((len(images), stored.shape[1]), np.float32)
            positions, indices = np.array(pairs).T
            features[positions] = stored[indices]
        return np.empty((0, 0), np.float32) if features is None else features


def _name(images: Sequence[str]) -> str:
    """Return the name of the shard that holds the features of these images."""
    return hashlib.sha256("".join(images).encode()).hexdigest()[:32]
