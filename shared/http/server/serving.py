"""Starts an HTTP service: opens its socket, and ends with one sentence if that fails."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from shared.http.server.addresses import base_url, is_loopback
from shared.http.server.connections import Connection, Lobby
from shared.http.server.draining import DrainingServer
from shared.http.server.open_files import room_for_connections
from shared.logs import configure_logging, get_logger
from shared.settings import SharedSettings
from shared.start import describe, fail

Settings = TypeVar("Settings", bound=SharedSettings)

log = get_logger(__name__)


def serve(service: str, kind: type[Settings], create_app: Callable[[Settings], FastAPI]) -> int:
    """Read the settings, listen, and serve until a signal ends the process.

    Args:
        service: the name of the service; the setting `<service>_port` is its port.
        kind: the class of its settings.
        create_app: makes the application from the settings.

    Returns:
        The exit status: 0 after a signal, 1 if a setting is wrong or the port can't be used.
    """
    try:
        settings = kind()
    except ValidationError as error:
        return fail("; ".join(describe(fault) for fault in error.errors()))
    port_field = f"{service}_port"
    port = getattr(settings, port_field)
    try:
        listener = listen(settings.host, port)
    except OSError as error:
        where = base_url(settings.host, port).removeprefix("http://")
        setting = f"HEADSTART_{port_field.upper()}"
        reason = (error.strerror or str(error)).partition(" (")[0]
        return fail(f"Can't listen on {where}: {reason}. Set {setting} to a free port.")
    configure_logging(service, settings.log_format, settings.log_level)
    warn_if_open(settings)
    app = create_app(settings)
    connections = room_for_connections(settings.max_connections)
    if connections < settings.max_connections:
        log.warning(
            "the limit of open files allows few connections; see ulimit -n", most=connections
        )
    readable_by = app.state.allowed_origins.readable_by
    lobby = Lobby(connections, settings.silence_seconds, readable_by)
    config = uvicorn.Config(
        app,
        http=partial(Connection, lobby),  # type: ignore[arg-type] # uvicorn only calls it
        log_config=None,
        access_log=False,  # `Requests` writes one with fields.
        server_header=False,
    )
    host, port = listener.getsockname()[:2]
    log.info("listening", url=base_url(host, port))
    end_quietly_on_signals()
    server = DrainingServer(config, app.state.gate, lobby, settings.shutdown_seconds)
    server.run(sockets=[listener])
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the port is in use, or this machine does not have the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def end_quietly_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process with exit status 0.

    uvicorn handles the signal first and raises it again when it has ended. The process then ends
    without waiting for threads, of which one may still be loading a model.
    """

    def end(*_: object) -> None:
        logging.shutdown()
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def warn_if_open(settings: SharedSettings) -> None:
    """Log a warning if the service needs no key and other machines can reach it."""
    if not settings.read_api_keys() and not is_loopback(settings.host):
        log.warning(
            "no API keys: everybody who reaches the port can use this service. "
            "Set HEADSTART_API_KEYS or HEADSTART_API_KEYS_FILE.",
            host=settings.host,
        )
