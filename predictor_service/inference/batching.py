"""Turns images that arrive one by one into the batches that an engine is fast with."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from traceback import clear_frames
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from predictor_service.inference.metrics import BatchMetrics
from shared.errors import Unavailable
from shared.images import LargePicture

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Answer = Probabilities | Exception

LARGE_RETRY_SECONDS = 5


class Decode(Protocol):
    """Bytes of an image file to uint8 (height, width, 3); called by many threads.

    Raises LargePicture, unless it shall wait, of what is not to be decoded among the small ones.
    """

    def __call__(self, data: bytes, /, *, wait: bool) -> Pixels: ...


@dataclass(slots=True, eq=False)
class _Image:
    data: bytes
    answer: "asyncio.Future[Answer]"
    arrived: float
    decoded_in: float = 0.0
    large: bool = False
    pixels: Pixels = field(init=False)

    def forget(self) -> None:
        """Let go of the file, and of the answer if there is none yet."""
        self.answer.cancel()
        self.data = b""


class Batcher:
    """Decodes images in a thread pool and runs them through one engine in batches.

    A batch is what is already waiting when the engine becomes free, rounded down to one of
    `batch_sizes(max_batch)`: nobody waits for a batch to fill, and while one batch computes the
    next one gathers. The
    thread that decodes an image while the engine is idle computes, too, until nothing waits; so
    a single image costs two thread switches.

    Large pictures are decoded by threads of their own, so that no other waits behind them.

    Args:
        infer: uint8 (n, height, width, 3) to float32 (n, labels); called by one thread at a time.
        decode: called by many threads.
        pool: at least two threads, or nothing gathers while the engine computes.
        large_pool: the threads for large pictures; by default `pool`.
        max_queue: images that may be inside at once, besides the large ones.
        max_large: large ones that may be inside at once; by default as many.
        metrics: are told of every image and batch.
    """

    def __init__(  # noqa: PLR0913 - two functions, where they run, and limits by name
        self,
        infer: Callable[[Pixels], Probabilities],
        decode: Decode,
        pool: ThreadPoolExecutor,
        *,
        max_batch: int,
        max_queue: int,
        large_pool: ThreadPoolExecutor | None = None,
        max_large: int | None = None,
        metrics: BatchMetrics | None = None,
    ) -> None:
        self._infer = infer
        self._decode = decode
        self._pool = pool
        self._large_pool = large_pool or pool
        self._sizes = batch_sizes(max_batch)
        self._max_queue = max_queue
        self._max_large = max_large or max_queue
        self._metrics = metrics or BatchMetrics()
        self._loop = asyncio.get_running_loop()
        self._inside = 0
        self._large = 0
        self._lock = threading.Lock()
        self._waiting: list[_Image] = []
        self._computing = False

    @property
    def inside(self) -> int:
        """Return how many images wait or are worked on."""
        return self._inside + self._large

    def check_room(self, images: int = 1) -> None:
        """Refuse images for which there is no room; an idle batcher takes any number.

        Raises:
            Unavailable: with them more than `max_queue` images would be inside.
        """
        if self._inside and self._inside + images > self._max_queue:
            self._metrics.full.inc()
            raise Unavailable(
                f"The queue is full: HEADSTART_MAX_QUEUE allows {self._max_queue} images, "
                f"{self._inside} are waiting. Try again in a second."
            )

    async def predict(self, files: list[bytes]) -> list[Answer]:
        """Return the probabilities, float32 (labels,), of each file or the error it met.

        Raises:
            Unavailable: there is no room for them; none was taken.
        """
        self.check_room(len(files))
        self._inside += len(files)
        arrived = perf_counter()
        images = [_Image(data, self._loop.create_future(), arrived) for data in files]
        for image in images:
            self._pool.submit(self._work, image)
        try:
            answers = [await image.answer for image in images]
        finally:
            for image in images:
                image.forget()
        self._metrics.total.observe(perf_counter() - arrived)
        return answers

    def _work(self, image: _Image) -> None:
        started = perf_counter()
        try:
            self._check_wanted(image)
            image.pixels = self._decode(image.data, wait=image.large)
            image.decoded_in = perf_counter() - started
            self._metrics.decode.observe(image.decoded_in)
        except LargePicture:
            self._loop.call_soon_threadsafe(self._submit_large, image)
            return
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for this image
            _let_go_of_files(error)
            self._answer([image], [error])
            return
        with self._lock:
            self._waiting.append(image)
            if self._computing:
                return
            self._computing = True
        while batch := self._next_batch():
            self._answer(batch, self._compute(batch))

    def _check_wanted(self, image: _Image) -> None:
        if image.answer.cancelled():
            raise Unavailable("The client left.")

    def _submit_large(self, image: _Image) -> None:
        if self._large >= self._max_large:
            detail = f"{self._large} large pictures are waiting. Try again in a few seconds."
            self._deliver([image], [Unavailable(detail, LARGE_RETRY_SECONDS)])
            return
        self._inside -= 1
        self._large += 1
        image.large = True
        self._large_pool.submit(self._work, image)

    def _next_batch(self) -> list[_Image]:
        with self._lock:
            size = max((size for size in self._sizes if size <= len(self._waiting)), default=0)
            batch = self._waiting[:size]
            del self._waiting[:size]
            self._computing = bool(batch)
        return batch

    def _compute(self, batch: list[_Image]) -> Sequence[Answer]:
        started = perf_counter()
        for image in batch:
            self._metrics.queue.observe(started - image.arrived - image.decoded_in)
        try:
            answers = list(self._infer(_stack([image.pixels for image in batch])))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for this batch
            return [error] * len(batch)
        self._metrics.forward.observe(perf_counter() - started)
        self._metrics.batch.observe(len(batch))
        return answers

    def _answer(self, images: list[_Image], answers: Sequence[Answer]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, images, answers)

    def _deliver(self, images: list[_Image], answers: Sequence[Answer]) -> None:
        for image, answer in zip(images, answers, strict=True):
            if not image.answer.done():  # a client that left took its future along
                image.answer.set_result(answer)
            if image.large:
                self._large -= 1
            else:
                self._inside -= 1


def batch_sizes(max_batch: int) -> list[int]:
    """Return the powers of two below `max_batch`, and `max_batch` itself.

    An engine prepares itself for every size it meets for the first time; with a handful of them
    that can be done before a version is served.
    """
    return [1 << power for power in range((max_batch - 1).bit_length())] + [max_batch]


def _stack(images: list[Pixels]) -> Pixels:
    return images[0][np.newaxis] if len(images) == 1 else np.stack(images)


def _let_go_of_files(error: BaseException) -> None:
    """Clear the variables of what has failed: an error that is kept would keep the file, too."""
    following: BaseException | None = error
    while following is not None:
        clear_frames(following.__traceback__)
        following = following.__cause__ or following.__context__
