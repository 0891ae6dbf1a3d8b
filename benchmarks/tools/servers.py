"""Starts the servers that are compared, as processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import httpx
import psutil

from launcher.services import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
#: `make bench` installs it there.
BENTOML = Path(sys.prefix) / "bentoml" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        url: the URL to which images are posted.
        process: the process of the server.
        started_in: seconds from its start to the first success of its probe.
    """

    url: str
    process: subprocess.Popen[bytes]
    started_in: float

    def resident_megabytes(self) -> float:
        """Return the resident memory of the process and its children; shared pages count once."""
        parent = psutil.Process(self.process.pid)
        family = [parent, *parent.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family) / 2**20


@contextmanager
def headstart(store: Path, **settings: str) -> Iterator[Server]:
    """Serve a store with Headstart's predictor; `settings` are more environment variables."""
    port = str(free_port())
    environment = {"HEADSTART_STORE": str(store), "HEADSTART_PREDICTOR_PORT": port, **settings}
    with _server(["predictor_service"], port, "/readyz", environment) as server:
        yield server


@contextmanager
def peer(module: str, model: Path) -> Iterator[Server]:
    """Serve a model with a module of `benchmarks.peers`."""
    port = str(free_port())
    probe = "/health" if "litserve" in module else "/healthz"
    with _server([f"benchmarks.peers.{module}", str(model), port], port, probe, {}) as server:
        yield server


def bentoml_version() -> str | None:
    """Return the version of BentoML in its own environment; None if it is not installed."""
    paths = [str(path) for path in BENTOML.parents[1].glob("lib/*/site-packages")]
    return next((found.version for found in distributions(name="bentoml", path=paths)), None)


@contextmanager
def bentoml(model: Path) -> Iterator[Server]:
    """Serve with BentoML, in its own environment, since its pins conflict with TensorFlow's."""
    port = str(free_port())
    service = ["bentoml", "serve", "benchmarks.peers.bentoml_openvino:Classifier"]
    environment = {"BENCH_MODEL": str(model), "BENTOML_DO_NOT_TRACK": "True"}
    arguments = [*service, "--working-dir", str(ROOT), "--host", "127.0.0.1", "--port", port]
    with _server(arguments, port, "/readyz", environment, python=BENTOML) as server:
        yield server


@contextmanager
def _server(
    arguments: list[str],
    port: str,
    probe: str,
    environment: dict[str, str],
    python: Path = Path(sys.executable),
) -> Iterator[Server]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(python), "-m", *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{base}{probe}", process)
        yield Server(f"{base}/v1/predict", process, time.perf_counter() - started)
    finally:
        running = process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if running else []
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in family:
            if child.is_running():
                child.kill()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + START_SECONDS
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"{url} did not answer")
