"""Loads a published version and checks that it answers as it did in training."""

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from predictor_service.inference.batching import (
    Answer,
    Batcher,
    Decode,
    Pixels,
    Rows,
    batch_sizes,
)
from predictor_service.inference.explain import Explainer, ExplainQueue, Finish, Parts
from predictor_service.inference.memory import return_freed_memory
from predictor_service.inference.metrics import BatchMetrics
from predictor_service.inference.unknown import compared
from predictor_service.models.fingerprint import fingerprint
from predictor_service.models.served import ServedVersion
from predictor_service.models.watch import Trial
from predictor_service.settings import PredictorSettings
from shared.arrays import MOST_FILE_BYTES
from shared.engines import (
    EMBEDDING,
    PROBABILITIES,
    Engine,
    Outputs,
    Precision,
    load_version_engine,
    select_engine,
    serving_precisions,
)
from shared.engines.explaining import ExplainingEngine, load_explaining_engine
from shared.errors import VersionCorrupt
from shared.images.decoding import ImageLimits, decode
from shared.logs import get_logger
from shared.models.manifest import GOLDEN_FOLDER, GoldenImage, Manifest
from shared.models.model_store import read_golden, read_version_file, verify, verify_graph
from shared.models.prediction_sets import COVERAGE_FILE, Doubts, unpack_doubts
from shared.models.unknown import UNKNOWN_FILE, Comparer, KnownImages

#: How far from 1 the sum of an image's probabilities may be; bfloat16 keeps eight bits.
SUM_TOLERANCE = 0.02
BACKGROUND_NICENESS = 15
#: The queue of large images is this many times shorter than that of small ones.
LARGE_SHARE = 4

T = TypeVar("T")

log = get_logger(__name__)


class _Opened(NamedTuple):
    directory: Path
    manifest: Manifest
    golden: list[tuple[GoldenImage, bytes]]
    known: KnownImages | None
    doubts: Doubts | None


class VersionLoader:
    """Loads versions from their directories.

    A thread of its own hashes, loads and warms one version at a time. Golden images are predicted
    in the same way as those of requests: with `pool`, a batcher and the engine. Once a version is
    served, the loading thread has a lower priority, since requests come first.

    Args:
        settings: the settings of the predictor.
        pool: the threads that decode images.
        metrics: counts images and batches.
        large_pool: the threads that decode large images; by default `pool`.
        explained: where heatmaps are made; by default a queue of the loader's own.
    """

    def __init__(
        self,
        settings: PredictorSettings,
        pool: ThreadPoolExecutor,
        metrics: BatchMetrics | None = None,
        large_pool: ThreadPoolExecutor | None = None,
        explained: ExplainQueue | None = None,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._large_pool = large_pool
        self._explained = explained or ExplainQueue(settings.max_explained)
        self._metrics = metrics
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        # A thread can't lower its nice value again, so this one always keeps its low priority.
        self._background = ThreadPoolExecutor(1, "load", initializer=_lower_priority)
        # Freeing holds the GIL. A thread of low priority could hold it long without being run.
        self._freeing = ThreadPoolExecutor(1, "free")
        self._serves = False
        self._closed = False

    def close(self) -> None:
        """End the threads, without waiting for one that still loads."""
        self._closed = True
        for executor in (self._background, self._freeing):
            executor.shutdown(wait=False, cancel_futures=True)

    async def load(self, directory: Path) -> ServedVersion:
        """Verify, load, warm and test a version, in the fastest precision that answers correctly.

        Args:
            directory: `models/<name>/<version>` of the store.

        Raises:
            VersionCorrupt: the files or the answers are not those that were published.
            OSError, MemoryError: the machine can't load the version now.
            Exception: any other error of the engine, if it can't load the network.
        """
        opened = await self._in_thread(partial(_open, directory))
        engine = select_engine(self._settings.engine)
        *reduced, full = serving_precisions(
            engine, self._settings.precision, quantized=opened.manifest.quantized
        )
        for precision in reduced:
            try:
                return await self._try(opened, precision)
            except VersionCorrupt as error:
                log.warning("not served in this precision", precision=precision, reason=str(error))
        return await self._try(opened, full)

    async def _try(self, opened: _Opened, precision: Precision) -> ServedVersion:
        engine = await self._in_thread(partial(self._engine, opened, precision))
        comparer = None if opened.known is None else Comparer(opened.known)
        finish, trial = partial(compared, comparer=comparer), Trial()
        batcher = self._batcher(engine, opened.manifest, finish, trial)
        await _replay(opened.golden, batcher, opened.manifest, precision)
        self._serves = True
        explainer = self._explainer(engine, opened, finish)
        now, known, doubts = datetime.now(UTC), opened.known, opened.doubts
        return ServedVersion(opened.manifest, engine, batcher, now, explainer, known, doubts, trial)

    async def check(self, served: ServedVersion, directory: Path) -> None:
        """Let a version that is served answer its golden images once more, among the requests.

        Args:
            served: the version.
            directory: where it lies.

        Raises:
            VersionCorrupt: an answer is not the one that was published, or the images are gone.
            Unavailable, OSError, MemoryError: the machine can't do it now.
        """
        manifest = served.manifest
        golden = await self._in_thread(partial(_golden, directory, manifest))
        await _replay(golden, served.batcher, manifest, served.engine.precision)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if not self._serves:
            return await asyncio.to_thread(work)
        context = copy_context()  # with the fields of the log; `to_thread` copies it by itself
        return await asyncio.get_running_loop().run_in_executor(self._background, context.run, work)

    def _engine(self, opened: _Opened, precision: Precision) -> Engine:
        engine = load_version_engine(
            opened.directory,
            select_engine(self._settings.engine),
            precision,
            self._settings.threads,
        )
        warm(engine, opened.manifest, self._settings.max_batch, opened.known)
        return engine

    def _explainer(self, engine: Engine, opened: _Opened, finish: Finish) -> Explainer:
        manifest = opened.manifest
        directory, threads = opened.directory, self._settings.threads

        def load(held: list[ExplainingEngine]) -> Awaitable[None]:
            work = partial(_load_explaining, held, directory, manifest, engine, threads)
            return self._in_thread(work)

        explainer = Explainer(
            manifest,
            Parts(load, partial(fingerprint, directory)),
            self._decode(manifest),
            finish,
            self._explained,
        )
        self._free_after(explainer, explainer.held)
        return explainer

    def _decode(self, manifest: Manifest) -> Decode:
        size = manifest.input
        return partial(decode, height=size.height, width=size.width, limits=self._limits)

    def _batcher(self, engine: Engine, manifest: Manifest, finish: Finish, trial: Trial) -> Batcher:
        held = [engine]

        def infer(pixels: Pixels) -> Rows:
            try:
                return finish(held[0].infer(pixels))
            except Exception as error:
                trial.fail(error)
                raise

        def check(answer: Rows) -> Exception | None:
            error = _no_probabilities(answer)
            if error is not None:
                trial.fail(error)
            return error

        batcher = Batcher(
            infer,
            self._decode(manifest),
            self._pool,
            max_batch=self._settings.max_batch,
            max_queue=self._settings.max_queue,
            large_pool=self._large_pool,
            max_large=max(self._settings.max_files, self._settings.max_queue // LARGE_SHARE),
            metrics=self._metrics,
            check=check,
        )
        self._free_after(batcher, held)
        return batcher

    def _free_after(self, user: object, held: list[Any]) -> None:
        free = partial(self._free_elsewhere, asyncio.get_running_loop(), held)
        weakref.finalize(user, free).atexit = False

    def _free_elsewhere(self, loop: asyncio.AbstractEventLoop, held: list[Any]) -> None:
        """Free an engine in a thread of its own, once what has used it is not used any more.

        Freeing takes longer than an answer, so the thread that used it last should not do
        it. The event loop starts it, since by then the loop itself does not refer to the version.
        """
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._free_in_thread, held)

    def _free_in_thread(self, held: list[Any]) -> None:
        if self._closed:  # no request is left that this could delay
            _free(held)
        else:
            self._freeing.submit(_free, held)


def _free(held: list[Any]) -> None:
    held.clear()
    return_freed_memory()


def _lower_priority() -> None:
    """Lower the priority of this thread; only on Linux does each thread have its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)


def _load_explaining(
    held: list[ExplainingEngine], directory: Path, manifest: Manifest, served: Engine, threads: int
) -> None:
    """Load what heatmaps are made of; the version may have changed since it was verified.

    Raises:
        VersionCorrupt: it has changed, or its parts do not fit together.
        OSError, MemoryError: the machine can't load it now.
    """
    assert manifest.heatmaps is not None  # noqa: S101 - the explainer looks before it loads
    size = manifest.input
    try:
        verify_graph(directory, manifest)
        explaining = load_explaining_engine(directory, served, manifest.heatmaps, threads)
        pixels = np.zeros((size.height, size.width, size.channels), np.uint8)
        explaining.try_out(pixels, len(manifest.labels))
    except (VersionCorrupt, OSError, MemoryError):
        raise
    except Exception as error:  # engines and NumPy raise exceptions of any class
        raise VersionCorrupt(
            f"The parts of the network should be as the manifest says: {error}"
        ) from error
    held.append(explaining)


def _open(directory: Path) -> _Opened:
    manifest = verify(directory)
    golden = _golden(directory, manifest)
    known = _carried(directory, manifest, UNKNOWN_FILE, KnownImages.unpack)
    doubts = _carried(directory, manifest, COVERAGE_FILE, unpack_doubts)
    return _Opened(directory, manifest, golden, known, doubts)


def _golden(directory: Path, manifest: Manifest) -> list[tuple[GoldenImage, bytes]]:
    return [
        (image, read_version_file(directory, f"{GOLDEN_FOLDER}/{image.file}"))
        for image in read_golden(directory, manifest)
    ]


def _carried(
    directory: Path, manifest: Manifest, name: str, unpack: Callable[[bytes], T]
) -> T | None:
    """Return what a file of a version holds; None if the version has no such file.

    Raises:
        VersionCorrupt: it holds something else.
        OSError: the machine can't read it now.
    """
    if all(entry.path != name for entry in manifest.files):
        return None
    try:
        return unpack(read_version_file(directory, name, MOST_FILE_BYTES))
    except ValueError as error:
        raise VersionCorrupt(f"{name}: {error}.") from error


def warm(
    engine: Engine, manifest: Manifest, max_batch: int, known: KnownImages | None = None
) -> None:
    """Run a batch of every size that can occur, and check the shape and sum of the outputs.

    Args:
        engine: the engine of the version.
        manifest: the manifest of the version.
        max_batch: the largest number of images in a batch.
        known: the images that the version carries.

    Raises:
        VersionCorrupt: the network does not answer with one probability for each label, or not
            with an embedding as those of the images.
    """
    shape = (manifest.input.height, manifest.input.width, manifest.input.channels)
    for size in batch_sizes(max_batch):
        outputs = engine.infer(np.zeros((size, *shape), np.uint8))
        _check_outputs(outputs, size, manifest)
        if known is not None:
            _check_embedding(outputs, size, known)


def _check_embedding(outputs: Outputs, images: int, known: KnownImages) -> None:
    expected = (images, known.width)
    received = outputs[EMBEDDING].shape if EMBEDDING in outputs else "none"
    if received != expected:
        raise VersionCorrupt(
            f"The network should answer with an {EMBEDDING!r} of shape {expected}, as "
            f"{UNKNOWN_FILE} has it. Received: {received}.",
            "answers",
        )


def _check_outputs(outputs: Outputs, images: int, manifest: Manifest) -> None:
    if PROBABILITIES not in outputs:  # possible in a network with several outputs
        raise VersionCorrupt(
            f"The network should have an output called {PROBABILITIES!r}. Received: "
            f"{', '.join(map(repr, outputs))}.",
            "answers",
        )
    output = outputs[PROBABILITIES]
    expected = (images, len(manifest.labels))
    if output.shape != expected:
        raise VersionCorrupt(
            f"The network should answer with shape {expected}: {images} images, "
            f"{expected[1]} labels. Received: {output.shape}.",
            "answers",
        )
    sums = output.sum(axis=1)
    if not np.allclose(sums, 1, atol=SUM_TOLERANCE) or output.min() < 0:
        raise VersionCorrupt(
            f"The network's probabilities should add up to 1. Received: {sums[0]}.", "answers"
        )


def _no_probabilities(answer: Rows) -> VersionCorrupt | None:
    """Return why what the network answers to an image can't be told; None if it can."""
    probabilities = answer[PROBABILITIES]
    total = float(probabilities.sum())
    if abs(total - 1) <= SUM_TOLERANCE and probabilities.min() >= 0:  # False for what is no number
        return None
    return VersionCorrupt(
        f"The network's probabilities should add up to 1. Received: {total:g}.", "answers"
    )


async def _replay(
    golden: list[tuple[GoldenImage, bytes]],
    batcher: Batcher,
    manifest: Manifest,
    precision: Precision,
) -> None:
    """Predict golden images and compare the answers with those that were published."""
    for image, data in golden:  # one by one, to let requests in between
        (answer,) = await batcher.predict([data])
        _compare(image, answer, manifest, precision)


def _compare(image: GoldenImage, answer: Answer, manifest: Manifest, precision: Precision) -> None:
    if isinstance(answer, OSError | MemoryError):
        raise answer  # about the machine, not about the version
    if isinstance(answer, Exception):
        raise VersionCorrupt(
            f"Golden image {image.file} can't be predicted: {answer}", "answers"
        ) from answer
    expected = np.array(image.expected(precision))
    difference = float(np.abs(answer[PROBABILITIES] - expected).max())
    if not difference <= manifest.golden_tolerance:
        raise VersionCorrupt(
            f"The answer to golden image {image.file} is not the one from training: a "
            f"probability is off by {difference:.3g}; at most {manifest.golden_tolerance:g} is "
            "allowed.",
            "answers",
        )
