"""A trainer that can be reached over connections that break."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from trainer_service.app import create_app
from trainer_service.settings import TrainerSettings

CHUNK_BYTES = 1 << 16


@contextmanager
def running_trainer(settings: TrainerSettings) -> Iterator[int]:
    """Run a trainer in a thread of this process, and yield its port."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class BreakingProxy:
    """Passes connections on, and resets as many as `answers` and `uploads` say.

    Attributes:
        answers: so many POSTs are received and answered, but the answer is lost.
        uploads: so many POSTs are lost in the middle.
        refuses: every connection ends while it is set, as if nothing were there.
        holds: nothing that is answered while it is set arrives, as if the host were gone.
        posts: how many POSTs have come.
    """

    def __init__(self, port: int) -> None:
        self.answers = 0
        self.uploads = 0
        self.refuses = False
        self.holds = False
        self.posts = 0
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                if self.refuses:
                    _reset(client)
                else:
                    _Connection(self, client, socket.create_connection(self._target))


class _Connection:
    def __init__(self, proxy: BreakingProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_post = False
        for passing in (self._requests, self._answers):
            threading.Thread(target=self._pass, args=(passing,), daemon=True).start()

    def _pass(self, passing: Callable[[], None]) -> None:
        with suppress(OSError):  # one side has gone
            passing()
        _reset(self._client)
        _reset(self._server)

    def _requests(self) -> None:
        while data := self._client.recv(CHUNK_BYTES):
            begins = data.startswith(b"POST ")
            self._is_post = begins or (self._is_post and not data.startswith(b"GET "))
            self._proxy.posts += begins
            if self._proxy.refuses:
                return
            self._server.sendall(data)
            if self._is_post and self._proxy.uploads:
                self._proxy.uploads -= 1
                return

    def _answers(self) -> None:
        while data := self._server.recv(CHUNK_BYTES):
            if self._is_post and self._proxy.answers:
                self._proxy.answers -= 1
                return
            if self._proxy.holds:
                continue
            self._client.sendall(data)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()
