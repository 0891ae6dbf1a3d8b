"""What every engine can do."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.manifest import Precision

EngineName = Literal["openvino", "tensorflow"]
Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]
"""What a network answers: float32 arrays of shape (n, k), by the names of its outputs."""

#: The output of a version's network: one row an image, one column a label.
PROBABILITIES = "probabilities"
#: The output of a backbone.
FEATURES = "features"


class Engine(Protocol):
    """A network ready to run; every method may be called from several threads at once."""

    @property
    def name(self) -> EngineName: ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what it answers."""

    @property
    def precision(self) -> Precision:
        """What it computes in; the outputs are float32 whatever it is."""

    def infer(self, pixels: Pixels) -> Outputs:
        """Run the network.

        Args:
            pixels: RGB images, uint8 of shape (n, height, width, 3), any n of at least 1.

        Returns:
            Each of its `outputs`, float32 of shape (n, k).

        Raises:
            ValueError: dtype or shape are not what the network takes.
        """

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Run the network on one batch after another, in order.

        The next batches are taken from `batches`, in the caller's thread, while earlier ones
        compute: an iterator that decodes images costs no extra time.
        """


def check_pixels(pixels: Pixels, height: int | None, width: int | None) -> None:
    """Check a batch; a height or width of None means any.

    Raises:
        ValueError: dtype or shape are wrong.
    """
    shape = pixels.shape
    fits = (
        pixels.dtype == np.uint8
        and len(shape) == 4  # noqa: PLR2004 - (n, height, width, channels)
        and shape[0] > 0
        and height in (None, shape[1])
        and width in (None, shape[2])
        and shape[3] == 3  # noqa: PLR2004 - RGB
    )
    if not fits:
        raise ValueError(
            f"`pixels` should be uint8 of shape (n, {height or 'height'}, {width or 'width'}, 3) "
            f"with n of at least 1. Received: {pixels.dtype} of shape {shape}."
        )


def infer_in_chunks(run: Callable[[Pixels], Outputs], pixels: Pixels, chunk: int) -> Outputs:
    """Run on at most `chunk` images at a time, so that memory does not grow with n."""
    if len(pixels) <= chunk:
        return run(pixels)
    parts = [run(pixels[start : start + chunk]) for start in range(0, len(pixels), chunk)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def infer_pipelined(
    infer: Callable[[Pixels], Outputs], batches: Iterable[Pixels], workers: int
) -> Iterator[Outputs]:
    """Yield `infer(batch)` for each batch in order, with `workers` + 1 of them on their way."""
    pending: deque[Future[Outputs]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="infer")
    try:
        for batch in batches:
            pending.append(executor.submit(infer, batch))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
