"""The bottleneck phase: every image through the backbone once, in shards."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from shared.engines import Engine
from shared.errors import InvalidImage
from shared.images import ImageLimits, decode
from trainer_service.features import Features

Pixels = npt.NDArray[np.uint8]

SMALLEST_SHARD = 32
LARGEST_SHARD = 256
SHARDS_PER_TRAINING = 8


class ShardImage(BaseModel):
    sha256: str
    path: str


class ShardResult(BaseModel):
    """What became of a shard: images that turned out unusable, by SHA-256, with the reason."""

    computed: int
    seconds: float
    rejected: dict[str, str]


def plan_shards(images: Sequence[ShardImage]) -> list[list[ShardImage]]:
    """Cut the images into shards: enough for several workers, few enough to be worth a task."""
    size = -(-len(images) // SHARDS_PER_TRAINING)
    size = min(LARGEST_SHARD, max(SMALLEST_SHARD, size))
    return [list(images[start : start + size]) for start in range(0, len(images), size)]


class Extractor:
    """Decodes images on a pool of threads while the engine computes the batches before them.

    Args:
        engine: uint8 (n, input_size, input_size, 3) to float32 (n, feature_size).
        input_size: height and width that images are resized to.
        batch_size: images in one forward pass.
        threads: decoding threads.
        limits: caps on what is decoded.
    """

    def __init__(
        self, engine: Engine, input_size: int, batch_size: int, threads: int, limits: ImageLimits
    ) -> None:
        self.engine = engine
        self._size = input_size
        self._batch_size = batch_size
        self._limits = limits
        self._look_ahead = 3 * batch_size
        self._threads = threads

    def extract(
        self, images: Sequence[ShardImage], advance: Callable[[int], None]
    ) -> tuple[list[str], Features, ShardResult]:
        """Compute the features of `images`.

        Args:
            images: what to read, decode and send through the backbone.
            advance: called with the number of images done so far; what it raises ends the shard.

        Returns:
            The SHA-256 of the images that could be used, their features, float32
            (n, feature_size), and the result.
        """
        started = time.perf_counter()
        used: list[str] = []
        rejected: dict[str, str] = {}
        rows: list[Features] = []
        for features in self.engine.infer_batches(self._batches(images, used, rejected)):
            rows.append(features)
            advance(sum(map(len, rows)) + len(rejected))
        features = np.concatenate(rows) if rows else np.empty((0, 0), np.float32)
        seconds = time.perf_counter() - started
        result = ShardResult(computed=len(used), seconds=seconds, rejected=rejected)
        return used, features, result

    def _batches(
        self, images: Sequence[ShardImage], used: list[str], rejected: dict[str, str]
    ) -> Iterator[Pixels]:
        batch: list[Pixels] = []
        for image, future in self._decoded(images):
            try:
                batch.append(future.result())
            except InvalidImage as error:
                rejected[image.sha256] = error.detail
                continue
            used.append(image.sha256)
            if len(batch) == self._batch_size:
                yield np.stack(batch)
                batch.clear()
        if batch:
            yield np.stack(batch)

    def _decoded(self, images: Sequence[ShardImage]) -> Iterator[tuple[ShardImage, Future[Pixels]]]:
        waiting = iter(images)
        running: deque[tuple[ShardImage, Future[Pixels]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        try:
            while True:
                for image in islice(waiting, self._look_ahead - len(running)):
                    running.append((image, pool.submit(self._read, image)))
                if not running:
                    return
                yield running.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, image: ShardImage) -> Pixels:
        try:
            data = Path(image.path).read_bytes()
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise InvalidImage("unreadable", f"The file can't be read: {error.strerror}.") from None
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise InvalidImage("unreadable", "The file has changed since the dataset was read.")
        return decode(data, self._size, self._size, self._limits)
