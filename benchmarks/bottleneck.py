"""Measures images/s of the bottleneck phase, of the Keras guides' way, and the machine's limit."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.peers import keras_guide
from benchmarks.tools.alike import LIMITS
from benchmarks.tools.images import FILES, benchmark_images, shard_images
from benchmarks.tools.isolation import alternated, isolated
from benchmarks.tools.rows import Row
from benchmarks.tools.weights import weights_for
from shared.engines import FEATURES, Engine, select_engine
from shared.images.decoding import decode
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.backbone import bottleneck_engine, bottleneck_precision
from trainer_service.backbones.weights import Weights
from trainer_service.phases.bottleneck.feature_computer import BATCH_SIZES, FeatureComputer

#: Images per architecture: enough for about ten seconds of each side.
IMAGES = {"mobilenet_v2": 1400, "resnet50_v2": 300, "vgg16": 120}
ROUNDS = 2
THREADS = os.cpu_count() or 1


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure every architecture of `IMAGES`; `quick` only checks that it works."""
    files, _ = benchmark_images(directory, quick=quick)
    rows: list[Row] = []
    for name, count in IMAGES.items() if not quick else [("mobilenet_v2", 48)]:
        rows += _measure(directory, name, files[:count], 1 if quick else ROUNDS)
    return rows


def _measure(directory: Path, name: str, files: list[Path], rounds: int) -> list[Row]:
    architecture = find_architecture(name)
    weights = isolated(weights_for, architecture, directory)
    folder = _folder_of(files, directory / f"bottleneck-{name}")
    cache = directory / "backbones"
    isolated(_convert, architecture, weights, cache)
    sides = {
        "Keras guides": partial(isolated, keras_guide.images_per_second, folder, name, weights),
        "Headstart": partial(isolated, headstart, files, architecture, weights, cache),
        "limit": partial(isolated, limit, files, architecture, weights, cache),
    }
    rates = alternated(sides, rounds)
    guide, ours, best = rates["Keras guides"], rates["Headstart"], rates["limit"]
    return [
        Row("bottleneck", name, "Keras guides", guide, "images/s"),
        Row("bottleneck", name, "Headstart", ours, "images/s", ours / guide, "Keras guides"),
        Row("bottleneck", name, "Headstart", ours, "images/s", ours / best, "the machine's limit"),
    ]


def _engine(architecture: Architecture, weights: Weights, cache: Path) -> Engine:
    precision = bottleneck_precision(select_engine("auto"))
    return bottleneck_engine(architecture, weights, "auto", precision, cache, THREADS)


def _convert(architecture: Architecture, weights: Weights, cache: Path) -> None:
    _engine(architecture, weights, cache)


def headstart(
    files: list[Path], architecture: Architecture, weights: Weights, cache: Path
) -> float:
    """Return images/s of the bottleneck phase: reading, hashing, decoding and computing."""
    engine = _engine(architecture, weights, cache)
    computer = FeatureComputer(
        engine,
        output=FEATURES,
        input_size=architecture.input_size,
        batch_size=BATCH_SIZES[engine.name],
        threads=THREADS,
        limits=LIMITS,
    )
    images = shard_images(files)
    computer.compute(images[:32], FILES, _ignore)
    started = time.perf_counter()
    used, _, _ = computer.compute(images, FILES, _ignore)
    return len(used) / (time.perf_counter() - started)


def limit(files: list[Path], architecture: Architecture, weights: Weights, cache: Path) -> float:
    """Return the highest possible images/s: all cores do nothing but decode and compute.

    Decoding and computing each use every core, so their times per image add up.
    """
    size = architecture.input_size
    data = [file.read_bytes() for file in files[:200]]
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        decoded = list(pool.map(lambda image: decode(image, size, size, LIMITS), data))
    decoding = (time.perf_counter() - started) / len(data)
    engine = _engine(architecture, weights, cache)
    batch = np.stack(decoded[: BATCH_SIZES[engine.name]])
    engine.infer(batch)
    batches = max(2, len(files) // len(batch))
    started = time.perf_counter()
    for _ in engine.infer_batches(batch for _ in range(batches)):
        pass
    computing = (time.perf_counter() - started) / (batches * len(batch))
    return 1 / (decoding + computing)


def _folder_of(files: list[Path], folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / f"{number}{file.suffix}").symlink_to(file.absolute())
    return folder


def _ignore(_: int) -> None:
    """Ignore progress."""
