"""Serves `/metrics` for a worker: for the parent process and all its children together.

prometheus_client keeps the counts of each process in files in one directory, and adds them up. The
directory has to be set before prometheus_client is imported.
"""

import atexit
import os
import shutil
import tempfile
from contextlib import suppress
from typing import Any

from celery.signals import worker_process_init

from shared.http.server.addresses import base_url
from shared.logs import get_logger

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

log = get_logger(__name__)


def keep_counts_in_files() -> None:
    """Let this process and its children keep their counts in a new directory, removed at exit."""
    directory = tempfile.mkdtemp(prefix="headstart-metrics-")
    # Children end with os._exit, so only this process removes it.
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ[VARIABLE] = directory


def serve_metrics(host: str, port: int) -> None:
    """Serve `/metrics` in a thread until the process ends.

    Raises:
        OSError: the port is in use, or the host is not an address of this machine.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server, _ = start_http_server(port, host, registry)

    def close_in_child(**_: Any) -> None:
        # Else a child that outlives its parent would keep the port in use.
        with suppress(OSError):
            server.socket.close()

    worker_process_init.connect(close_in_child, weak=False)
    log.info("metrics", url=f"{base_url(host, server.server_port)}/metrics")
