"""The interface of all engines, and helpers that they share."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.models.manifest import Precision

EngineName = Literal["openvino", "tensorflow"]
Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]
"""The outputs of a network by name, each float32 of shape (n, k)."""

#: The name of an output of a version's network: one row per image, one column per label.
PROBABILITIES = "probabilities"
#: The name of its other output: the features of the backbone's last layer.
EMBEDDING = "embedding"
#: The name of the output of a backbone.
FEATURES = "features"


class Engine(Protocol):
    """A network ready to run; every method may be called from several threads at once."""

    @property
    def name(self) -> EngineName: ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the network's outputs."""

    @property
    def precision(self) -> Precision:
        """The precision that it computes in; the outputs are always float32."""

    def infer(self, pixels: Pixels) -> Outputs:
        """Run the network.

        Args:
            pixels: RGB images, uint8 of shape (n, height, width, 3), any n of at least 1.

        Returns:
            An array for each name in `outputs`, float32 of shape (n, k).

        Raises:
            ValueError: `pixels` has a dtype or shape that the network does not take.
        """

    def infer_batches(self, batches: Iterable[Pixels]) -> Iterator[Outputs]:
        """Run the network on one batch after another, in order.

        The caller's thread takes the next batches from `batches` while earlier ones compute, so
        an iterator that decodes images costs no extra time.
        """


def check_pixels(pixels: Pixels, height: int | None, width: int | None) -> None:
    """Check that a batch is uint8 of shape (n, height, width, 3).

    Args:
        pixels: the batch.
        height: the height that the network takes, in pixels; None means any.
        width: the width that the network takes, in pixels; None means any.

    Raises:
        ValueError: the dtype or the shape is another, or the batch is empty.
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
    """Run a network on at most `chunk` images at a time, so that memory does not grow with n."""
    if len(pixels) <= chunk:
        return run(pixels)
    parts = [run(pixels[start : start + chunk]) for start in range(0, len(pixels), chunk)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def infer_pipelined(
    infer: Callable[[Pixels], Outputs], batches: Iterable[Pixels], workers: int
) -> Iterator[Outputs]:
    """Yield `infer(batch)` for each batch, in order; up to `workers` + 1 batches are in work."""
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
