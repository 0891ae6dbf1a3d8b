"""How both HTTP services start: one listening socket, one-line logs, one sentence on failure."""

import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.settings import SharedSettings

Settings = TypeVar("Settings", bound=SharedSettings)

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET_PATHS = ("/healthz", "/readyz")

log = logging.getLogger(__name__)


def serve(kind: type[Settings], port_field: str, create_app: Callable[[Settings], FastAPI]) -> int:
    """Read the settings, listen, and serve until a signal ends it; return the exit status.

    Args:
        kind: the class of the service's settings.
        port_field: which of its fields holds the port.
        create_app: makes the application.
    """
    try:
        settings = kind()
    except ValidationError as error:
        return fail("; ".join(describe(fault) for fault in error.errors()))
    port = getattr(settings, port_field)
    try:
        listener = listen(settings.host, port)
    except OSError as error:
        where = f"{settings.host}:{port}"
        setting = f"HEADSTART_{port_field.upper()}"
        reason = (error.strerror or str(error)).partition(" (")[0]
        return fail(f"Can't listen on {where}: {reason}. Set {setting} to a free port.")
    configure_logging(settings.log_level)
    warn_if_open(settings)
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    log.info("listening on http://%s:%d", *listener.getsockname()[:2])
    end_quietly_on_signals()
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the port is in use, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def end_quietly_on_signals() -> None:
    """Let a signal end the process with exit code 0; uvicorn raises it again when it is done."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))


def configure_logging(level: str) -> None:
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT, force=True)
    logging.getLogger("uvicorn.access").addFilter(is_worth_logging)


def is_worth_logging(record: logging.LogRecord) -> bool:
    """Tell whether a line of the access log is of a route that people, not probes, call."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not (len(arguments) > 2 and arguments[2] in QUIET_PATHS)  # noqa: PLR2004


def fail(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def warn_if_open(settings: SharedSettings) -> None:
    """Say it if the service is open to everybody who reaches this machine."""
    if not settings.read_api_keys() and not is_loopback(settings.host):
        log.warning(
            "Listening on %s without API keys: whoever reaches the port may use this service. "
            "Set HEADSTART_API_KEYS or HEADSTART_API_KEYS_FILE.",
            settings.host,
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def describe(fault: ErrorDetails) -> str:
    """Say which setting was wrong, what was expected, and what came, unless that is a secret."""
    if not fault["loc"]:  # of several settings: the message names them
        return fault["msg"].removeprefix("Value error, ")
    name = "HEADSTART_" + "_".join(map(str, fault["loc"])).upper()
    return f"{name}: {fault['msg']}. Received: {fault['input']!r}."
