"""Measures what each step costs at least, in core-milliseconds per image."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import simplejpeg
from PIL import Image

from benchmarks.predictor import ARCHITECTURE, BODIES, published_version
from benchmarks.tools import servers
from benchmarks.tools.alike import LIMITS
from benchmarks.tools.images import benchmark_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.load import run_load
from benchmarks.tools.rows import Row
from shared.engines import EMBEDDING, load_version_engine, serving_precisions
from shared.images.decoding import decode
from shared.models.unknown import Comparer, KnownImages, scaled
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from trainer_service.backbones.architectures import find_architecture
from trainer_service.phases.evaluate.unknown import most_images

BATCHES = [1, 4, 8, 16, 32]
CONNECTIONS = [1, 8, 64]
SECONDS = 5.0


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure decoding, forward passes and serving, each on its own."""
    files, _ = benchmark_images(directory, quick=quick)
    version = isolated(published_version, directory, files)
    bodies = [file.read_bytes() for file in files[:BODIES]]
    rounds = 1 if quick else 20
    rows = isolated(decoding, bodies, rounds)
    for precision in serving_precisions("openvino"):
        for batch in BATCHES[:1] if quick else BATCHES:
            cost = isolated(forward, version, precision, batch, 16 * rounds)
            rows.append(Row("costs", f"forward, {precision}", f"batch {batch}", cost, "core-ms"))
    rows += isolated(comparing, version, bodies, 8 * rounds)
    store = directory / "tiny"
    if not store.exists():
        isolated(publish_tiny_model, store)
    return rows + serving(store, CONNECTIONS[:1] if quick else CONNECTIONS, 1 if quick else SECONDS)


def decoding(bodies: list[bytes], rounds: int) -> list[Row]:
    """Return the costs of decoding, as a whole and in parts."""
    size = find_architecture(ARCHITECTURE).input_size
    images = [simplejpeg.decode_jpeg(body) for body in bodies]
    pictures = [Image.fromarray(image) for image in images]
    parts: dict[str, Callable[[], object]] = {
        "decode and resize, as served": lambda: [decode(b, size, size, LIMITS) for b in bodies],
        "libjpeg-turbo alone, full size": lambda: [simplejpeg.decode_jpeg(b) for b in bodies],
        "Pillow's resize alone, from full size": lambda: [
            p.resize((size, size), Image.Resampling.BILINEAR) for p in pictures
        ],
        "Pillow for everything": lambda: [_pillow(body, size) for body in bodies],
    }
    return [
        Row("costs", "decoding", name, _core_milliseconds(part, rounds) / len(bodies), "core-ms")
        for name, part in parts.items()
    ]


def forward(version: Path, precision: str, batch: int, rounds: int) -> float:
    """Return the core-milliseconds per image of forward passes of one batch size."""
    engine = load_version_engine(version, "openvino", precision)  # type: ignore[arg-type]
    size = find_architecture(ARCHITECTURE).input_size
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    engine.infer(pixels)
    rounds = max(3, rounds // batch)
    return _core_milliseconds(lambda: engine.infer(pixels), rounds) / batch


def comparing(version: Path, bodies: list[bytes], rounds: int) -> list[Row]:
    """Return what it costs to tell whether a picture is unknown, beside decoding and computing.

    Both are measured in turns, so that the images are read from memory as they are in a request.
    The version is given as many as it may carry.
    """
    architecture = find_architecture(ARCHITECTURE)
    engine = load_version_engine(version, "openvino", serving_precisions("openvino")[0])
    width, size = architecture.feature_size, architecture.input_size
    images = most_images(width, architecture.multiply_adds)
    carried = scaled(np.random.default_rng(0).normal(size=(images, width))).astype(np.float16)
    comparer = Comparer(KnownImages(carried, ("0" * 64,) * images, np.zeros(500, np.float32)))
    rows = []
    for batch in (1, 8):
        others, own = [], []
        for turn in range(2 + rounds // batch):
            started = time.process_time()
            part = [bodies[(turn * batch + place) % len(bodies)] for place in range(batch)]
            pixels = np.stack([decode(body, size, size, LIMITS) for body in part])
            embedding = engine.infer(pixels)[EMBEDDING]
            others.append(time.process_time() - started)
            started = time.thread_time()  # OpenVINO's threads go on waiting for work
            comparer.compare(embedding)
            own.append(time.thread_time() - started)
        cost, rest = (1000 * median(seconds) / batch for seconds in (own, others))
        row = Row("costs", "unknown pictures", f"batch {batch}, {images} images", cost, "core-ms")
        rows.append(replace(row, ratio=cost / rest, against="decoding and forward"))
    return rows


def serving(store: Path, connections: list[int], seconds: float) -> list[Row]:
    """Return the costs of a request to a tiny network: almost no decoding and computing.

    OpenVINO uses one thread; a second one would spend more time waiting for work than a request
    takes.
    """
    body = picture("red", kind="JPEG")
    rows = []
    with servers.headstart(store, HEADSTART_THREADS="1") as server:
        process = psutil.Process(server.process.pid)
        for count in connections:
            before = sum(process.cpu_times()[:2])
            load = run_load(server.url, [body], count, seconds)
            spent = sum(process.cpu_times()[:2]) - before
            cost = 1000 * spent / (load.requests_per_second * seconds)
            rows.append(Row("costs", "HTTP and batching", f"{count} connections", cost, "core-ms"))
    return rows


def _core_milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Return the time that a call takes, in milliseconds, summed over all cores."""
    started = time.process_time()
    for _ in range(rounds):
        work()
    return 1000 * (time.process_time() - started) / rounds


def _pillow(body: bytes, size: int) -> object:
    with Image.open(io.BytesIO(body)) as image:
        return np.array(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
