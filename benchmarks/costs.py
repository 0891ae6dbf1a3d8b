"""Measures what each step costs at least, in core-milliseconds per image."""

import io
import time
from collections.abc import Callable
from pathlib import Path

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
from shared.engines import load_version_engine, serving_precisions
from shared.images.decoding import decode
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from trainer_service.backbones.architectures import find_architecture

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
