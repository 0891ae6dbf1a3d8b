"""Collects images that arrive one by one into batches, with which an engine is fast."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from traceback import clear_frames
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictor_service.inference.metrics import BatchMetrics
from shared.errors import Unavailable
from shared.images.decoding import LargeImage

Pixels = NDArray[np.uint8]
Rows = Mapping[str, NDArray[Any]]
"""Arrays of n rows by name, of a batch of n images; or the row of one image in each of them."""
Answer = Rows | Exception

LARGE_RETRY_SECONDS = 5


class Decode(Protocol):
    """Turns the bytes of an image file into uint8 of shape (height, width, 3).

    Many threads call it. It raises LargeImage for a large image, unless `wait` is True.
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
        """Free the bytes of the file, and cancel the answer if there is none yet."""
        self.answer.cancel()
        self.data = b""


class Batcher:
    """Decodes images in a thread pool and runs them through one engine in batches.

    When the engine becomes free, the images that wait form a batch, rounded down to one of
    `batch_sizes(max_batch)`. So no image waits for a batch to fill, and the next batch collects
    while one computes. A thread that has decoded an image while the engine is idle also runs the
    engine, until no image waits; so a single image costs two thread switches.

    Large images are decoded by threads of their own, so that small ones do not wait for them.

    Args:
        infer: turns uint8 of shape (n, height, width, 3) into arrays of n rows by name; called by
            one thread at a time.
        decode: decodes one image; called by many threads.
        pool: at least two threads; with one, no batch would collect while the engine computes.
        max_batch: the largest number of images in a batch.
        max_queue: how many images may wait or be worked on, besides the large ones.
        large_pool: the threads for large images; by default `pool`.
        max_large: how many large images may wait or be worked on; by default `max_queue`.
        metrics: counts images and batches.
        check: returns what is wrong with the answer to an image, which then gets that error; None
            if nothing is.
    """

    def __init__(  # noqa: PLR0913 - two functions, where they run, and limits by name
        self,
        infer: Callable[[Pixels], Rows],
        decode: Decode,
        pool: ThreadPoolExecutor,
        *,
        max_batch: int,
        max_queue: int,
        large_pool: ThreadPoolExecutor | None = None,
        max_large: int | None = None,
        metrics: BatchMetrics | None = None,
        check: Callable[[Rows], Exception | None] = lambda _: None,
    ) -> None:
        self._infer = infer
        self._decode = decode
        self._check = check
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
        """Check that there is room for more images; an idle batcher takes any number.

        Raises:
            Unavailable: with these images, more than `max_queue` would wait or be worked on.
        """
        if self._inside and self._inside + images > self._max_queue:
            self._metrics.full.inc()
            raise Unavailable(
                f"The queue is full: HEADSTART_MAX_QUEUE allows {self._max_queue} images, "
                f"{self._inside} are waiting. Try again in a second."
            )

    async def predict(self, files: list[bytes]) -> list[Answer]:
        """Return, for each file, what the network answers or an error.

        Args:
            files: the bytes of image files.

        Returns:
            For each file, in order, its row of each array, or the exception that its decoding or
            its batch ended with.

        Raises:
            Unavailable: there is no room for the files; none of them was taken.
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
        except LargeImage:
            self._loop.call_soon_threadsafe(self._submit_large, image)
            return
        except Exception as error:  # noqa: BLE001 - handed to the caller that waits for the image
            _clear_locals(error)
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
            detail = f"{self._large} large images are waiting. Try again in a few seconds."
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
            rows = self._infer(_stack([image.pixels for image in batch]))
        except Exception as error:  # noqa: BLE001 - handed to the callers that wait for the batch
            return [error] * len(batch)
        self._metrics.forward.observe(perf_counter() - started)
        self._metrics.batch.observe(len(batch))
        answers = ({name: array[n] for name, array in rows.items()} for n in range(len(batch)))
        return [self._check(answer) or answer for answer in answers]

    def _answer(self, images: list[_Image], answers: Sequence[Answer]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, images, answers)

    def _deliver(self, images: list[_Image], answers: Sequence[Answer]) -> None:
        for image, answer in zip(images, answers, strict=True):
            if not image.answer.done():  # it is cancelled if the client has left
                image.answer.set_result(answer)
            if image.large:
                self._large -= 1
            else:
                self._inside -= 1


def batch_sizes(max_batch: int) -> list[int]:
    """Return the powers of two below `max_batch`, and `max_batch` itself.

    An engine prepares itself for each batch size that it has not seen yet. With only a few sizes,
    that can be done before a version is served.

    Example:
        batch_sizes(8)  # [1, 2, 4, 8]
    """
    return [1 << power for power in range((max_batch - 1).bit_length())] + [max_batch]


def _stack(images: list[Pixels]) -> Pixels:
    return images[0][np.newaxis] if len(images) == 1 else np.stack(images)


def _clear_locals(error: BaseException) -> None:
    """Clear the local variables that an error refers to, which include the bytes of the file."""
    following: BaseException | None = error
    while following is not None:
        clear_frames(following.__traceback__)
        following = following.__cause__ or following.__context__
