"""Compares the predictor with other servers: requests/s, latency, memory and start-up time."""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.tools import servers
from benchmarks.tools.alike import LIMITS
from benchmarks.tools.images import benchmark_images
from benchmarks.tools.isolation import isolated
from benchmarks.tools.load import Load, run_load
from benchmarks.tools.rows import Row
from benchmarks.tools.weights import weights_for
from shared.engines import load_version_engine, serving_precisions
from shared.images.decoding import decode
from shared.models.model_store import KERAS_MODEL, OPENVINO_MODEL
from trainer_service.backbones.architectures import find_architecture
from trainer_service.inline import train_inline
from trainer_service.settings import TrainerSettings
from trainer_service.store.publishing import WritableModelStore

ARCHITECTURE = "mobilenet_v2"
TRAINED_ON = 90
BODIES = 64
CONNECTIONS = [1, 8, 64, 256]
SECONDS = 5.0
ROUNDS = 2
HEADSTART = "Headstart"

Start = Callable[[], AbstractContextManager[servers.Server]]


@dataclass(slots=True)
class Side:
    """A server and its measurements.

    Attributes:
        name: the name of the server.
        start: starts the server.
        loads: the results, by number of connections.
        megabytes: resident memory after each round, in MB.
        starts: seconds from each start to the first answer.
    """

    name: str
    start: Start
    loads: dict[int, list[Load]] = field(default_factory=dict)
    megabytes: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def rate(self, connections: int) -> float:
        """Return the median requests/s at a number of connections."""
        return median(load.requests_per_second for load in self.loads[connections])

    def percentile(self, connections: int, which: str) -> float:
        """Return the median of `p50` or `p99`, in milliseconds, at a number of connections."""
        return float(median(getattr(load, which) for load in self.loads[connections]))


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure every server at every number of connections, in turns."""
    files, _ = benchmark_images(directory, quick=quick)
    version = isolated(published_version, directory, files)
    bodies = [file.read_bytes() for file in files[:BODIES]]
    connections, seconds, rounds = ([8], 0.5, 1) if quick else (CONNECTIONS, SECONDS, ROUNDS)
    sides = _sides(version)
    floors = []
    for _ in range(rounds):
        floors.append(isolated(in_process, version, bodies))
        for side in sides:
            _measure(side, bodies, connections, seconds)
    ours, *peers = sides
    rows = [row for count in connections for row in _rate_rows(ours, peers, count)]
    rows += _latency_rows(ours, connections[0], median(floors))
    rows += _steadiness_rows(ours, connections)
    rows += [Row("predictor", "memory", side.name, median(side.megabytes), "MB") for side in sides]
    return rows + [
        Row("predictor", "start to ready", side.name, median(side.starts), "s") for side in sides
    ]


def published_version(directory: Path, files: list[Path]) -> Path:
    """Train and publish a version with a worker's plain functions; return its directory."""
    store = directory / "store"
    models = WritableModelStore(store)
    if "bench" not in models.names():
        weights = weights_for(find_architecture(ARCHITECTURE), directory)
        chosen = directory / "datasets" / "bench"
        shutil.rmtree(chosen, ignore_errors=True)
        chosen.mkdir(parents=True)
        for file in files[:: max(1, len(files) // TRAINED_ON)]:
            shutil.copy(file, chosen)
        settings = TrainerSettings(
            store=store, weights=weights.path.parent, datasets=directory / "datasets"
        )
        record = train_inline(
            settings, model="bench", architecture=ARCHITECTURE, dataset={"path": "bench"}
        )
        if record.error:
            raise RuntimeError(record.error.detail)
    return models.directory("bench", models.versions("bench")[-1])


def in_process(version: Path, bodies: list[bytes]) -> float:
    """Return the milliseconds that decoding and computing one image take, without a server."""
    engine = load_version_engine(version, "openvino", serving_precisions("openvino")[0])
    size = find_architecture(ARCHITECTURE).input_size
    milliseconds = []
    for body in bodies * 4:
        started = time.perf_counter()
        engine.infer(decode(body, size, size, LIMITS)[np.newaxis])
        milliseconds.append(1000 * (time.perf_counter() - started))
    return median(milliseconds[len(bodies) :])


def _sides(version: Path) -> list[Side]:
    sides = [
        Side(HEADSTART, partial(servers.headstart, version.parents[2])),
        Side(
            "FastAPI + model.predict", partial(servers.peer, "fastapi_keras", version / KERAS_MODEL)
        ),
    ]
    model = version / OPENVINO_MODEL
    if find_spec("litserve"):
        litserve = partial(servers.peer, "litserve_openvino", model)
        sides.append(Side("LitServe, same engine", litserve))
    if servers.bentoml_version():
        sides.append(Side("BentoML, same engine", partial(servers.bentoml, model)))
    return sides


def _measure(side: Side, bodies: list[bytes], connections: list[int], seconds: float) -> None:
    with side.start() as server:
        run_load(server.url, bodies, 8, seconds / 2)
        for count in connections:
            side.loads.setdefault(count, []).append(run_load(server.url, bodies, count, seconds))
        side.megabytes.append(server.resident_megabytes())
        side.starts.append(server.started_in)


def _rate_rows(ours: Side, peers: list[Side], connections: int) -> list[Row]:
    case = _case(connections)
    rows = []
    for side in [ours, *peers]:
        rate = side.rate(connections)
        ratio = ours.rate(connections) / rate if side is not ours and rate else None
        rows.append(
            Row(
                "predictor",
                case,
                side.name,
                rate,
                "requests/s",
                ratio,
                "Headstart over it" if ratio else "",
                _note(side, connections),
            )
        )
    return rows


def _note(side: Side, connections: int) -> str:
    statuses: dict[int, int] = {}
    for load in side.loads[connections]:
        for status, count in load.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    p50, p99 = (side.percentile(connections, which) for which in ("p50", "p99"))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {statuses}"


def _latency_rows(ours: Side, connections: int, floor: float) -> list[Row]:
    case = f"p50 at {_case(connections)}"
    p50 = ours.percentile(connections, "p50")
    return [
        Row("predictor", case, "decode + forward in process", floor, "ms"),
        Row("predictor", case, ours.name, p50, "ms", p50 / floor, "decode + forward"),
    ]


def _steadiness_rows(ours: Side, connections: list[int]) -> list[Row]:
    """Compare the rate at the largest number of connections with the rate at eight."""
    most = connections[-1]
    ratio = ours.rate(most) / ours.rate(8)
    case = f"{most} connections over 8"
    return [
        Row("predictor", case, ours.name, ours.rate(most), "requests/s", ratio, "8 connections")
    ]


def _case(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"
