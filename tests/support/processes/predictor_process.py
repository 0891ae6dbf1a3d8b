"""A real `python -m predictor_service`, and patience."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Return the first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"Waited {seconds} s in vain for {what}.")


class PredictorProcess:
    """The predictor as a process of its own, on a port that it picked itself."""

    def __init__(self, store: Path, log: Path, **settings: Any) -> None:
        self._log = log
        chosen = {
            "store": store,
            "predictor_port": 0,
            "poll_seconds": 0.05,
            "engine": "openvino",
            **settings,
        }
        environment = os.environ | {f"HEADSTART_{k.upper()}": str(v) for k, v in chosen.items()}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "predictor_service"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.url = wait_for(self._find_url, "the predictor's address")
            self.http = httpx.Client(base_url=self.url, timeout=30)
            wait_for(self._is_alive, "the predictor to answer")
        except BaseException:
            self.process.kill()
            raise

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.http.get("/readyz").status_code == 200, "readiness")

    def model(self, name: str = "colours") -> dict[str, Any]:
        response = self.http.get(f"/v1/models/{name}")
        return response.json() if response.status_code == 200 else {}

    def wait_for_version(self, version: int, name: str = "colours") -> None:
        wait_for(lambda: self.model(name).get("version") == version, f"{name} {version}")

    def wait_for_quarantine(self, version: int, name: str = "colours") -> str:
        """Return why the version was quarantined."""
        return wait_for(
            lambda: next(
                (
                    entry["reason"]
                    for entry in self.model(name).get("quarantined", [])
                    if entry["version"] == version
                ),
                None,
            ),
            f"{name} {version} in quarantine",
        )

    def predict(self, *files: bytes, **query: Any) -> httpx.Response:
        parts = [("file", (f"{i}.png", data)) for i, data in enumerate(files)]
        return self.http.post("/v1/predict", files=parts, params=query)

    def terminate(self) -> int:
        """Ask the process to end and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def _find_url(self) -> str | None:
        assert self.process.poll() is None, self.log
        found = re.search(r"listening.* url=(http://\S+)", self.log)
        return found and found[1]

    def _is_alive(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_predictor(store: Path, log: Path, **settings: Any) -> Iterator[PredictorProcess]:
    """Run a predictor over `store`; `settings` are those of PredictorSettings."""
    predictor = PredictorProcess(store, log, **settings)
    try:
        yield predictor
    finally:
        predictor.http.close()
        predictor.process.kill()
        predictor.process.wait(timeout=30)
