"""The bottleneck phase: every image through the backbone once, in shards."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Self

import numpy as np
import numpy.typing as npt

from shared.engines import Engine
from shared.errors import InvalidImage
from shared.images.decoding import ImageLimits, decode
from trainer_service.backbones.features import Features
from trainer_service.datasets.image_files import ImageFiles, ImageLost
from trainer_service.phases.work import Worker
from trainer_service.store.shards import ShardImage, ShardResult

Pixels = npt.NDArray[np.uint8]

#: Images in one forward pass of each engine.
BATCH_SIZES = {"openvino": 16, "tensorflow": 64}


class FeatureComputer:
    """Decodes images on a pool of threads while the engine computes the batches before them.

    Args:
        engine: uint8 (n, input_size, input_size, 3) to float32 (n, feature_size).
        output: which of the engine's outputs is taken.
        input_size: height and width that images are resized to.
        batch_size: images in one forward pass.
        threads: decoding threads.
        limits: caps on what is decoded.
    """

    def __init__(  # noqa: PLR0913
        self,
        engine: Engine,
        *,
        output: str,
        input_size: int,
        batch_size: int,
        threads: int,
        limits: ImageLimits,
    ) -> None:
        self.engine = engine
        self._output = output
        self._size = input_size
        self._batch_size = batch_size
        self._limits = limits
        self._look_ahead = 3 * batch_size
        self._threads = threads

    @classmethod
    def of(cls, worker: Worker, engine: Engine, *, output: str, input_size: int) -> Self:
        """Return a computer with the threads and limits of a worker, and batches for its engine."""
        return cls(
            engine,
            output=output,
            input_size=input_size,
            batch_size=BATCH_SIZES[engine.name],
            threads=worker.threads,
            limits=worker.image_limits,
        )

    def compute(
        self, images: Sequence[ShardImage], files: ImageFiles, advance: Callable[[int], None]
    ) -> tuple[list[str], Features, ShardResult]:
        """Compute the features of `images`.

        Args:
            images: what to read, decode and send through the backbone.
            files: where they are read.
            advance: called with the number of images done so far; what it raises ends the shard.

        Returns:
            The SHA-256 of the images that could be used, their features, float32
            (n, feature_size), and the result.

        Raises:
            Setback, OSError, MemoryError: the machine is at fault, not an image.
        """
        started = time.perf_counter()
        used: list[str] = []
        result = ShardResult(computed=0, seconds=0, rejected={})
        rows: list[Features] = []
        for outputs in self.engine.infer_batches(self._batches(images, files, used, result)):
            rows.append(outputs[self._output])
            advance(sum(map(len, rows)) + len(result.rejected))
        features = np.concatenate(rows) if rows else np.empty((0, 0), np.float32)
        result.computed = len(used)
        result.seconds = time.perf_counter() - started
        return used, features, result

    def _batches(
        self, images: Sequence[ShardImage], files: ImageFiles, used: list[str], result: ShardResult
    ) -> Iterator[Pixels]:
        batch: list[Pixels] = []
        for image, pixels in self._pictures(images, files, result):
            used.append(image.sha256)
            batch += pixels
            while len(batch) >= self._batch_size:
                yield np.stack(batch[: self._batch_size])
                del batch[: self._batch_size]
        if batch:
            yield np.stack(batch)

    def _pictures(
        self, images: Sequence[ShardImage], files: ImageFiles, result: ShardResult
    ) -> Iterator[tuple[ShardImage, list[Pixels]]]:
        """Yield the images that can be used, after a second look for those that were missing."""
        missing: list[ShardImage] = []
        for image, future in self._decoded(images, files):
            try:
                yield image, future.result()
            except ImageLost:
                missing.append(image)
            except InvalidImage as error:
                result.rejected[image.sha256] = error.detail
        for image, future in self._decoded(missing, files):
            try:
                yield image, future.result()
            except InvalidImage as error:
                if isinstance(error, ImageLost):
                    files.require()
                    result.lost.append(image.sha256)
                result.rejected[image.sha256] = error.detail

    def _decoded(
        self, images: Sequence[ShardImage], files: ImageFiles
    ) -> Iterator[tuple[ShardImage, Future[list[Pixels]]]]:
        waiting = iter(images)
        running: deque[tuple[ShardImage, Future[list[Pixels]]]] = deque()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decode")
        try:
            while True:
                for image in islice(waiting, self._look_ahead - len(running)):
                    running.append((image, pool.submit(self._read, image, files)))
                if not running:
                    return
                yield running.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, image: ShardImage, files: ImageFiles) -> list[Pixels]:
        """Return the pictures that are made of an image; each gives a row of features."""
        return [self._decode(image, files, self._size)]

    def _decode(self, image: ShardImage, files: ImageFiles, size: int) -> Pixels:
        data = files.read(image.path, image.sha256)
        return decode(data, size, size, self._limits)
