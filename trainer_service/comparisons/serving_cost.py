"""Measures what it costs to serve a version, in a process of its own.

Only there does the clock of the process count nothing else, and memory grow by nothing else.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from shared.engines import (
    EMBEDDING,
    PROBABILITIES,
    Engine,
    EngineName,
    Precision,
    load_version_engine,
)
from shared.images.decoding import ImageLimits, decode
from shared.models.manifest import GOLDEN_FOLDER, GoldenImage, Manifest
from shared.models.model_store import read_golden, read_manifest
from shared.models.unknown import UNKNOWN_FILE, Comparer, KnownImages
from trainer_service.store.records.comparison_record import ServingCost

BATCH = 8
#: How long is measured for each size of a batch, and how often at least and at most.
_SECONDS, _FEWEST, _MOST = 1.0, 3, 200
#: How long the process may take. The largest network takes a minute on a slow core.
_PATIENCE_SECONDS = 600.0
_POLL_SECONDS = 0.3


class CostUnknown(Exception):
    """The cost could not be measured; the message says why."""


def serving_cost(
    version: Path,
    engine: EngineName,
    precisions: Sequence[Precision],
    threads: int,
    check_cancelled: Callable[[], None],
) -> ServingCost:
    """Measure what it costs to serve a version.

    Args:
        version: the directory of the version.
        engine: the engine that serves it here.
        precisions: those that it could be served in here, the fastest first.
        threads: how many CPU threads it may use.
        check_cancelled: called about every 0.3 s; what it raises ends the measurement.

    Raises:
        CostUnknown: it could not be measured.
    """
    asked = json.dumps([str(version), engine, list(precisions), threads])
    process = subprocess.Popen(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__, asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        try:
            said, errors = _wait(process, check_cancelled)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise CostUnknown(f"It could not be measured: {last[0] if last else 'no reason is known'}")
    return ServingCost.model_validate_json(said.strip().splitlines()[-1])


def _wait(
    process: subprocess.Popen[bytes], check_cancelled: Callable[[], None]
) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        check_cancelled()
        try:
            return process.communicate(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    raise CostUnknown(f"It was not measured within {_PATIENCE_SECONDS:.0f} seconds.")


def measure(
    version: Path, engine: EngineName, precisions: Sequence[Precision], threads: int
) -> ServingCost:
    """Measure a version in this process, which must do nothing else; arguments as above."""
    manifest = read_manifest(version)
    golden = read_golden(version, manifest)
    pictures = [(version / GOLDEN_FOLDER / image.file).read_bytes() for image in golden]
    before = _resident_bytes()
    precision, loaded = _load(version, engine, precisions, threads, manifest, golden, pictures)
    known = version / UNKNOWN_FILE
    comparer = Comparer(KnownImages.unpack(known.read_bytes())) if known.is_file() else None

    def serve(batch: Sequence[bytes]) -> None:
        outputs = loaded.infer(_pixels(batch, manifest))
        if comparer is not None:
            comparer.compare(outputs[EMBEDDING])

    def cost(size: int) -> float:
        batches = [
            [pictures[(start + place) % len(pictures)] for place in range(size)]
            for start in range(len(pictures))
        ]
        return round(1000 * _seconds(lambda turn: serve(batches[turn % len(batches)])) / size, 3)

    single, batched = cost(1), cost(BATCH)
    grown = max(0, _resident_bytes() - before)
    return ServingCost(precision=precision, single=single, batched=batched, memory_bytes=grown)


def _load(  # noqa: PLR0913, PLR0917
    version: Path,
    engine: EngineName,
    precisions: Sequence[Precision],
    threads: int,
    manifest: Manifest,
    golden: Sequence[GoldenImage],
    pictures: Sequence[bytes],
) -> tuple[Precision, Engine]:
    """Return the engine in the fastest precision that answers the golden images as in training."""
    for precision in precisions[:-1]:
        loaded = load_version_engine(version, engine, precision, threads)
        answers = loaded.infer(_pixels(pictures, manifest))[PROBABILITIES]
        expected = np.array([image.expected(precision) for image in golden])
        if float(np.abs(answers - expected).max()) <= manifest.golden_tolerance:
            return precision, loaded
    return precisions[-1], load_version_engine(version, engine, precisions[-1], threads)


def _pixels(batch: Sequence[bytes], manifest: Manifest) -> "np.typing.NDArray[np.uint8]":
    height, width = manifest.input.height, manifest.input.width
    limits = ImageLimits(1 << 31, 1 << 31)  # they were decoded before, within the real ones
    return np.stack([decode(data, height, width, limits) for data in batch])


def _seconds(work: Callable[[int], None]) -> float:
    """Return the median time of a call, summed over all cores; the first one is not counted."""
    work(0)
    spent: list[float] = []
    began = time.monotonic()
    while len(spent) < _FEWEST or (len(spent) < _MOST and time.monotonic() - began < _SECONDS):
        started = time.process_time()
        work(len(spent))
        spent.append(time.process_time() - started)
    return median(spent)


def _resident_bytes() -> int:
    """Return how much memory this process has; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _main(asked: str) -> None:
    version, engine, precisions, threads = json.loads(asked)
    if engine == "openvino":
        import openvino

        openvino.Core()
    sys.stdout.write(measure(Path(version), engine, precisions, threads).model_dump_json() + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
