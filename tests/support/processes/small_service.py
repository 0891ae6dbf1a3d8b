"""A small HTTP service in a process of its own, with the same HTTP layer as the real ones."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from shared.http.guard import add_guard
from shared.http.problems import add_problem_handlers
from shared.http.server.serving import serve
from shared.logs import get_logger
from shared.settings import SharedSettings
from tests.support.processes.predictor_process import wait_for

REPOSITORY = Path(__file__).parents[3]
PIECE = b"x" * 65_536

log = get_logger(__name__)


class Settings(SharedSettings):
    small_port: int = 0
    max_uploads: int = 100


def create_app(settings: Settings) -> FastAPI:  # noqa: C901 - one route after the other
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/v1/headers")
    async def headers(request: Request) -> list[tuple[str, str]]:
        return request.headers.items()

    @app.get("/v1/large")
    async def large(pieces: int) -> StreamingResponse:
        return StreamingResponse(_pieces(pieces), media_type="text/plain")

    @app.get("/v1/whole")
    async def whole(pieces: int) -> PlainTextResponse:
        return PlainTextResponse(PIECE * pieces)

    @app.get("/v1/files")
    def files(number: int) -> PlainTextResponse:
        with ExitStack() as stack:
            for _ in range(number):
                stack.enter_context(Path(__file__).open())
            return PlainTextResponse("opened")

    @app.get("/v1/slow")
    async def slow(seconds: float) -> PlainTextResponse:
        await asyncio.sleep(seconds)
        return PlainTextResponse("slow")

    @app.get("/v1/until-left")
    async def until_left(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        log.info("the client has left")

    @app.post("/v1/stream")
    async def stream(request: Request) -> dict[str, Any]:
        size = sum([len(chunk) async for chunk in request.stream()])
        return {"size": size, "headers": request.headers.keys()}

    add_guard(app, settings, streamed=("/v1/stream",), concurrent_uploads="max_uploads")
    return app


async def _pieces(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield PIECE


class Service:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        parts = urlsplit(wait_for(self._url, "the service's address"))
        self.address = str(parts.hostname), int(parts.port or 0)
        wait_for(lambda: self.ask(b"/healthz").startswith(b"HTTP/1.1 200"), "an answer")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def ask(self, path: bytes, *headers: bytes) -> bytes:
        """Return the whole answer to a request on a connection of its own."""
        lines = [b"GET %b HTTP/1.1" % path, b"Host: x", b"Connection: close", *headers]
        with self.connect() as connection:
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
            return read_all(connection)

    def memory(self) -> int:
        """Return how many bytes of memory the process has."""
        return psutil.Process(self.process.pid).memory_info().rss

    def connections(self) -> int:
        return len(psutil.Process(self.process.pid).net_connections("tcp")) - 1

    def _url(self) -> str | None:
        assert self.process.poll() is None, self.log
        found = re.search(r"listening.* url=(http://\S+)", self.log)
        return found and found[1]


@contextmanager
def running_service(
    log: Path,
    module: str = "tests.support.processes.small_service",
    files: int | None = None,
    **settings: Any,
) -> Iterator[Service]:
    """Run the small service, or another; `files` is how many it may have open at once."""
    command = (sys.executable, "-m", module)
    environment = os.environ | {f"HEADSTART_{k.upper()}": str(v) for k, v in settings.items()}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["sh", "-c", f'ulimit -n {files or "$(ulimit -n)"}; exec "$@"', "sh", *command],
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield Service(process, log)
        finally:
            process.kill()


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    received = b""
    try:
        while piece := connection.recv(1 << 20):
            received += piece
    except ConnectionResetError:
        pass
    return received


if __name__ == "__main__":
    sys.exit(serve("small", Settings, create_app))
