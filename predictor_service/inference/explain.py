"""Answers images with heatmaps, beside the batches of plain requests."""

import asyncio
import math
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from predictor_service.inference.batching import Decode, Rows
from shared.engines import PROBABILITIES, Outputs
from shared.engines.explaining import ExplainingEngine, Explanation
from shared.errors import Conflict, InvalidRequest, Unavailable, VersionCorrupt
from shared.heatmaps.painting import paint
from shared.logs import get_logger
from shared.models.manifest import Manifest

#: Asks for the likeliest label, unless the model has a label of this name.
TOP = "top"
#: How many labels a message names at most.
MOST_NAMED = 20
#: What heatmaps are made of is loaded again after this time, if the machine was at fault, and after
#: the other one, if its files are; at once when these have changed.
LOAD_RETRY_SECONDS = 5
DAMAGED_RETRY_SECONDS = 60
#: Digits after the point of each number of a heatmap.
DIGITS = 6

log = get_logger(__name__)

T = TypeVar("T")
Finish = Callable[[Outputs], Rows]
"""Turns the outputs of a network into what requests are answered by."""


class Parts(NamedTuple):
    """How to load what heatmaps of a version are made of.

    Attributes:
        load: loads it, and adds it to a list: the thread that does so must not keep it.
        look: returns what the files of the version look like, to see whether they have changed.
    """

    load: Callable[[list[ExplainingEngine]], Awaitable[None]]
    look: Callable[[], object]


class _Fault(NamedTuple):
    """Why the last loading failed.

    Attributes:
        reason: as a text.
        files: what the files looked like.
        until: when it is loaded again, by `monotonic`.
    """

    reason: str
    files: object
    until: float


class Explained(NamedTuple):
    """The answer to an image with a heatmap.

    Attributes:
        answer: what a plain request is answered by.
        heat: the heatmap, as `predictor_service.api.answers.Heatmap`.
    """

    answer: Rows
    heat: dict[str, Any]


class ExplainQueue:
    """The thread that makes the heatmaps of all models, one at a time.

    However many are asked for, at most one of them computes beside plain requests.

    Args:
        most: how many images may wait or be worked on.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._threads = ThreadPoolExecutor(1, "explain")

    def close(self) -> None:
        """End the thread, without waiting for what it works on."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_room(self, images: int = 1) -> None:
        """Check that there is room for more images; an idle queue takes any number.

        Raises:
            Unavailable: with these images, more than `most` would wait or be worked on.
        """
        if self._inside and self._inside + images > self._most:
            raise Unavailable(
                f"HEADSTART_MAX_EXPLAINED allows {self._most} images to wait for heatmaps, "
                f"{self._inside} are waiting. Try again in a second."
            )

    async def run(self, work: Sequence[Callable[[], T]]) -> list[T | Exception]:
        """Return what each function returns or raises, in order; they run in the thread.

        Raises:
            Unavailable: as `check_room`; none of them was run.
        """
        self.check_room(len(work))
        self._inside += len(work)
        waiting: list[Future[T | Exception]] = [self._threads.submit(one) for one in work]
        try:
            return [await _outcome(one) for one in waiting]
        finally:
            self._inside -= len(work)
            for one in waiting:
                one.cancel()


async def _outcome(future: "Future[T | Exception]") -> T | Exception:
    try:
        return await asyncio.wrap_future(future)
    except Exception as error:  # noqa: BLE001 - handed to the caller
        return error


class Explainer:
    """Makes the heatmaps of one version; what they are made of is loaded when one is asked for.

    Args:
        manifest: of the version.
        parts: how to load what heatmaps are made of.
        decode: decodes one image.
        finish: turns the outputs of the network into what plain requests are answered by, too.
        queue: where to work.

    Attributes:
        held: the loaded engine, once there is one.
    """

    def __init__(
        self,
        manifest: Manifest,
        parts: Parts,
        decode: Decode,
        finish: Finish,
        queue: ExplainQueue,
    ) -> None:
        self.held: list[ExplainingEngine] = []
        self._manifest = manifest
        self._parts = parts
        self._decode = decode
        self._finish = finish
        self._queue = queue
        self._loading: asyncio.Task[None] | None = None
        self._fault: _Fault | None = None

    def check(self, asked: str) -> None:
        """Check that there can be heatmaps for a label, and that there is room.

        Args:
            asked: the name of a label, or `TOP`.

        Raises:
            Conflict: the version has nothing to make heatmaps of.
            InvalidRequest: the model has no such label.
            Unavailable: too many images wait for heatmaps.
        """
        self._index(asked)
        self._queue.check_room()

    async def explain(self, files: Sequence[bytes], asked: str) -> list[Explained | Exception]:
        """Return, for each file, its answer with a heatmap, or an error.

        Args:
            files: the bytes of image files.
            asked: the name of a label, or `TOP`.

        Raises:
            Conflict, InvalidRequest, Unavailable: as `check`, or there is no memory for what
                heatmaps are made of, or it can't be read now.
        """
        label = self._index(asked)
        self._queue.check_room(len(files))
        while not self.held:
            await self._loaded()
        return await self._queue.run([partial(self._explain, data, label) for data in files])

    def _index(self, asked: str) -> int | None:
        """Return the index of a label; None for the likeliest one."""
        labels = self._manifest.labels
        if self._manifest.heatmaps is None:
            raise Conflict(self._no_heatmaps())
        if asked in labels:
            return labels.index(asked)
        if asked == TOP:
            return None
        named = ", ".join(labels[:MOST_NAMED]) + (", ..." if len(labels) > MOST_NAMED else "")
        raise InvalidRequest(
            f"`explain` should be {TOP!r} or a label of model {self._manifest.model!r}: {named}. "
            f"Received: {asked!r}."
        )

    def _no_heatmaps(self) -> str:
        version = f"Version {self._manifest.version} of model {self._manifest.model!r}"
        if self._manifest.pretrained is not None:
            return f"{version} has no heatmaps. {self._manifest.pretrained.no_heatmaps}"
        return f"{version} was published before heatmaps could be made. Train again to get them."

    async def _loaded(self) -> None:
        """Wait until the engine is loaded; it is loaded on if the request that began it leaves.

        To try again for each request would keep the disk, or the one thread that loads, busy.

        Raises:
            Unavailable: it can't be loaded, or could not be a short time ago.
        """
        if self._fault is None or await self._is_over(self._fault):
            if self._loading is None:
                self._loading = asyncio.create_task(self._hold(), name="load heatmaps")
            await asyncio.shield(self._loading)
        if self._fault is not None:
            raise Unavailable(
                f"What heatmaps are made of can't be loaded now: {self._fault.reason}",
                max(1, math.ceil(self._fault.until - monotonic())),
            )

    async def _is_over(self, fault: _Fault) -> bool:
        if monotonic() >= fault.until:
            return True
        return await asyncio.to_thread(self._parts.look) != fault.files

    async def _hold(self) -> None:
        files = await asyncio.to_thread(self._parts.look)
        try:
            await self._parts.load(self.held)
            self._fault = None
        except (OSError, MemoryError, VersionCorrupt) as error:
            damaged = isinstance(error, VersionCorrupt)
            seconds = DAMAGED_RETRY_SECONDS if damaged else LOAD_RETRY_SECONDS
            reason = str(error) or type(error).__name__
            self._fault = _Fault(reason, files, monotonic() + seconds)
            log.warning("heatmaps can't be loaded", reason=reason, seconds=seconds)
        finally:
            self._loading = None

    def _explain(self, data: bytes, label: int | None) -> Explained:
        explanation = self.held[0].explain(self._decode(data, wait=True))
        if label is None:
            label = int(explanation.outputs[PROBABILITIES].argmax())
        answer = {name: rows[0] for name, rows in self._finish(explanation.outputs).items()}
        return Explained(answer, self._heatmap(explanation, label))

    def _heatmap(self, explanation: Explanation, label: int) -> dict[str, Any]:
        heat, size = explanation.heat(label), self._manifest.input
        return {
            "label": self._manifest.labels[label],
            "score": round(heat.score, DIGITS),
            "rest": round(heat.rest, DIGITS),
            "grid": [[round(value, DIGITS) for value in row] for row in heat.grid.tolist()],
            "png": b64encode(paint(heat.grid, size.height, size.width)).decode(),
        }
