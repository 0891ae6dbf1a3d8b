"""Measures the bottleneck phase on a GPU: images/s by batch size, GPU load, decoding speed.

Run it with `python -m benchmarks gpu`. Without a GPU it measures TensorFlow on the CPU; the rows
then say so.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.tools.alike import LIMITS
from benchmarks.tools.images import FILES, benchmark_images, shard_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.rows import Row
from benchmarks.tools.weights import weights_for
from shared.engines import FEATURES, Engine, can_use_gpu
from shared.images.decoding import decode
from trainer_service.backbones.architectures import Architecture, find_architecture
from trainer_service.backbones.backbone import bottleneck_engine, bottleneck_precision
from trainer_service.backbones.weights import Weights
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer

ARCHITECTURES = ["mobilenet_v2", "resnet50_v2", "vgg16"]
BATCHES = [32, 64, 128]
SAMPLE_MILLISECONDS = 100
THREADS = os.cpu_count() or 1


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure every architecture with every batch size."""
    files, _ = benchmark_images(directory)
    names, batches = (["mobilenet_v2"], [32]) if quick else (ARCHITECTURES, BATCHES)
    files = files[:96] if quick else files
    decoding = isolated(decode_rate, files)
    rows = [Row("gpu", f"{THREADS} threads", "decoding alone", decoding, "images/s")]
    for name in names:
        architecture = find_architecture(name)
        weights = isolated(weights_for, architecture, directory)
        for batch in batches:
            rows += isolated(measure, files, architecture, weights, directory, batch)
    return rows


def decode_rate(files: list[Path]) -> float:
    """Return how many images/s all threads decode when nothing else runs."""
    data = [file.read_bytes() for file in files]
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda image: decode(image, 224, 224, LIMITS), data))
    return len(data) / (time.perf_counter() - started)


def measure(
    files: list[Path], architecture: Architecture, weights: Weights, directory: Path, batch: int
) -> list[Row]:
    """Return images/s of the whole phase and of the forward pass alone, for one batch size."""
    precision = bottleneck_precision("tensorflow")
    cache = directory / "backbones"
    engine = bottleneck_engine(architecture, weights, "tensorflow", precision, cache, THREADS)
    size = architecture.input_size
    computer = FeatureComputer(
        engine, output=FEATURES, input_size=size, batch_size=batch, threads=THREADS, limits=LIMITS
    )
    images = shard_images(files)
    computer.compute(images[: 2 * batch], FILES, lambda _: None)
    with _busy() as busy:
        started = time.perf_counter()
        used, _, _ = computer.compute(images, FILES, lambda _: None)
        whole = len(used) / (time.perf_counter() - started)
    case = f"{architecture.id}, batch {batch}, {precision}"
    device = "GPU" if can_use_gpu() else "no GPU: TensorFlow on the CPU"
    note = f"{device} {mean(busy):.0f} % busy" if busy else device
    forward = _forward_rate(engine, size, batch, len(files))
    row = partial(Row, "gpu", case)
    return [
        row("forward passes alone", forward, "images/s"),
        row("bottleneck phase", whole, "images/s", whole / forward, "forward passes alone", note),
    ]


def _forward_rate(engine: Engine, size: int, batch: int, images: int) -> float:
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    batches = max(2, images // batch)
    started = time.perf_counter()
    for _ in engine.infer_batches(pixels for _ in range(batches)):
        pass
    return batches * batch / (time.perf_counter() - started)


@contextmanager
def _busy() -> Iterator[list[int]]:
    """Fill a list with the GPU's utilization in per cent, as nvidia-smi samples it."""
    samples: list[int] = []
    if not shutil.which("nvidia-smi"):
        yield samples
        return
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    sampler = subprocess.Popen(
        [*query, f"--loop-ms={SAMPLE_MILLISECONDS}"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield samples
    finally:
        sampler.terminate()
        output, _ = sampler.communicate()
        samples += [int(line) for line in output.split() if line.isdigit()]
