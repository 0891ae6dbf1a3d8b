"""Measures whole trainings: cost per image, stored features, time to first progress, memory."""

import io
import random
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from benchmarks.tools.images import benchmark_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.rows import Row
from benchmarks.tools.weights import weights_for
from tests.end_to_end.stack import Record, Stack, running_stack
from trainer_service.backbones.architectures import find_architecture

ARCHITECTURE = "mobilenet_v2"
#: The article's small and large sets.
SMALL, LARGE = 1_399, 23_262
LABELS = ("a", "b")
SAMPLE_SECONDS = 0.2


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Train on the small and the large set, and on the large one again with stored features."""
    files, _ = benchmark_images(directory, quick=quick)
    random.Random(0).shuffle(files)  # so that a part of them has all labels
    counts = (60, 180) if quick else (SMALL, LARGE)
    fields: dict[str, object] = {"epochs": 5} if quick else {}
    datasets = directory / "sets"
    for count in counts:
        _write_set(files, datasets / str(count), count)
    weights = isolated(weights_for, find_architecture(ARCHITECTURE), directory)
    home = directory / "stack"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    with running_stack(home, datasets=datasets, weights=weights.path.parent) as stack:
        _train(stack, "warm", dataset={"path": str(counts[0])}, seed=1, **fields)
        shutil.rmtree(home / "store" / "features")
        (small, small_peaks), (large, large_peaks) = [
            _watched(stack, str(count), dataset={"path": str(count)}, **fields) for count in counts
        ]
        again = _train(stack, "again", dataset=large["dataset"]["id"], **fields)
        first = _seconds_to_progress(stack, small["dataset"]["id"])
    return [
        *_cost_rows(small, large),
        *_memory_rows(small_peaks, large_peaks, counts),
        Row(
            "training",
            f"{counts[1]} images, features stored",
            "submitted to published",
            _total_seconds(again),
            "s",
            note=_phases(again),
        ),
        Row("training", "warm worker", "submitted to first progress", first, "s"),
    ]


def _train(stack: Stack, model: str, **fields: Any) -> Record:
    record = stack.ended(
        stack.submit(model=model, architecture=ARCHITECTURE, **fields), seconds=300
    )
    while record["state"] not in {"succeeded", "failed", "cancelled"}:
        record = stack.ended(record, seconds=300)
    if record["state"] != "succeeded":
        raise RuntimeError(record["error"])
    return record


def _watched(stack: Stack, model: str, **fields: object) -> tuple[Record, dict[str, float]]:
    """Train, and return the record and the worker's peak memory in each phase, in MB."""
    workers = [
        process
        for process in psutil.Process().children(recursive=True)
        if "trainer_service.worker" in process.cmdline()
    ]
    peaks: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            running = stack.trainer.get("/v1/trainings", params={"limit": 1}).json()
            # Shared pages count once.
            total = sum(process.memory_full_info().pss for process in workers) / 2**20
            peaks[running[0]["state"]] = max(peaks.get(running[0]["state"], 0), total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return _train(stack, model, **fields), peaks
    finally:
        ended.set()
        thread.join()


def _seconds_to_progress(stack: Stack, dataset: str) -> float:
    """Return the seconds from a submission to its first progress event."""
    started = time.perf_counter()
    record = stack.submit(model="first", architecture=ARCHITECTURE, dataset=dataset, seed=2)
    url = f"/v1/trainings/{record['id']}/events"
    while True:
        page = stack.trainer.get(url, headers={"Accept": "application/json"}).json()
        if any(event["type"] == "progress" for event in page["events"]):
            return time.perf_counter() - started
        time.sleep(0.01)


def _memory_rows(
    small: dict[str, float], large: dict[str, float], counts: tuple[int, int]
) -> list[Row]:
    rows = []
    for phase in ("bottleneck", "head"):
        if phase in small and phase in large:
            what = f"peak memory of the worker, {phase}"
            rows += [
                Row("training", f"{counts[0]} images", what, small[phase], "MB"),
                Row(
                    "training",
                    f"{counts[1]} images",
                    what,
                    large[phase],
                    "MB",
                    large[phase] / small[phase],
                    f"{counts[0]} images",
                ),
            ]
    return rows


def _cost_rows(small: Record, large: Record) -> list[Row]:
    costs = [
        1000 * _phase(record, "bottleneck") / record["cache"]["computed"]
        for record in (small, large)
    ]
    cases = [f"{record['dataset']['images']} images" for record in (small, large)]
    return [
        Row("training", cases[0], "bottleneck per image", costs[0], "ms"),
        Row(
            "training",
            cases[1],
            "bottleneck per image",
            costs[1],
            "ms",
            costs[1] / costs[0],
            cases[0],
            _phases(large),
        ),
    ]


def _phase(record: Record, state: str) -> float:
    return float(next(t["seconds"] for t in record["transitions"] if t["state"] == state))


def _phases(record: Record) -> str:
    ended = [t for t in record["transitions"] if t["seconds"]]
    return ", ".join(f"{t['state']} {t['seconds']:.1f} s" for t in ended)


def _total_seconds(record: Record) -> float:
    return sum(t["seconds"] or 0 for t in record["transitions"])


def _write_set(files: list[Path], directory: Path, count: int) -> None:
    """Write `count` different images: first the files as they are, then shifted copies of them."""
    if len(list(directory.glob("*/*"))) == count:
        return
    shutil.rmtree(directory, ignore_errors=True)
    for label in LABELS:
        (directory / label).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(_write, files[number % len(files)], directory, number, len(files))
            for number in range(count)
        ]
        for job in jobs:
            job.result()


def _write(source: Path, directory: Path, number: int, files: int) -> None:
    # The label follows from the file's name, so that there is something to learn.
    label = LABELS[source.name.startswith(("dog", "1"))]
    target = directory / label / f"{number}.jpg"
    variant = number // files
    if variant == 0:
        shutil.copy(source, target)
        return
    buffer = io.BytesIO()
    with Image.open(source) as image:
        # Shifted by some pixels, since compressing again might give the same bytes twice.
        moved = image.convert("RGB").crop((variant, 0, image.width, image.height))
        moved.save(buffer, "JPEG", quality=90)
    target.write_bytes(buffer.getvalue())
