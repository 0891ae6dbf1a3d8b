"""The predictor: requests/s, latency and memory beside FastAPI with Keras and beside LitServe."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from benchmarks import servers
from benchmarks.images import benchmark_images
from benchmarks.isolation import isolated
from benchmarks.load import Load, run_load
from benchmarks.rows import Row
from benchmarks.weights import weights_for
from shared.architectures import find_architecture
from shared.model_store import KERAS_MODEL, OPENVINO_MODEL, ModelStore
from tests.inline_worker import train_inline
from trainer_service.settings import TrainerSettings

ARCHITECTURE = "mobilenet_v2"
TRAINED_ON = 90
BODIES = 64
CONNECTIONS = [1, 8, 64, 256]
SECONDS = 6.0
ROUNDS = 3

Measured = dict[int, list[Load]]


def run(directory: Path, *, quick: bool = False) -> list[Row]:
    """Measure every server at every number of connections, in turns."""
    files, _ = benchmark_images(directory)
    version = isolated(published_version, directory, files)
    bodies = [file.read_bytes() for file in files[:BODIES]]
    connections, seconds, rounds = ([8], 1.0, 1) if quick else (CONNECTIONS, SECONDS, ROUNDS)
    sides = _sides(version)
    loads: dict[str, Measured] = {name: {count: [] for count in connections} for name in sides}
    memory: dict[str, float] = {}
    starts: dict[str, float] = {}
    for _ in range(rounds):
        for name, start in sides.items():
            with start() as server:
                run_load(server.url, bodies, 8, seconds / 2)
                for count in connections:
                    loads[name][count].append(run_load(server.url, bodies, count, seconds))
                memory[name] = server.resident_megabytes()
                starts[name] = server.started_in
    rows = [row for count in connections for row in _rows(loads, count)]
    rows += [Row("predictor", "memory", name, value, "MB") for name, value in memory.items()]
    return rows + [Row("predictor", "start", name, value, "s") for name, value in starts.items()]


def published_version(directory: Path, files: list[Path]) -> Path:
    """Train and publish a version with the plain functions of a worker; return where it lies."""
    store = directory / "store"
    models = ModelStore(store)
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


def _sides(version: Path) -> dict[str, Callable[[], AbstractContextManager[servers.Server]]]:
    sides: dict[str, Callable[[], AbstractContextManager[servers.Server]]] = {
        "Headstart": partial(servers.headstart, version.parents[2]),
        "FastAPI + model.predict": partial(servers.peer, "fastapi_keras", version / KERAS_MODEL),
    }
    if find_spec("litserve"):
        sides["LitServe, same engine"] = partial(
            servers.peer, "litserve_openvino", version / OPENVINO_MODEL
        )
    return sides


def _rows(loads: dict[str, Measured], connections: int) -> list[Row]:
    case = f"{connections} connection{'s' if connections > 1 else ''}"
    rates = {
        name: median(load.requests_per_second for load in measured[connections])
        for name, measured in loads.items()
    }
    rows = []
    for name, measured in loads.items():
        rounds = measured[connections]
        p50, p99 = (median(getattr(load, field) for load in rounds) for field in ("p50", "p99"))
        statuses: dict[int, int] = {}
        for load in rounds:
            for status, count in load.statuses.items():
                statuses[status] = statuses.get(status, 0) + count
        note = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {statuses}"
        ratio = rates["Headstart"] / rates[name] if name != "Headstart" else None
        against = "Headstart over it" if ratio else ""
        rows.append(Row("predictor", case, name, rates[name], "requests/s", ratio, against, note))
    return rows
