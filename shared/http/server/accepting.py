"""Accepts new connections as fast as they come, however busy the process is.

uvloop accepts one connection in each turn of the event loop. If a turn serves fifty requests, a new
client waits for fifty requests of clients that are connected already.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from shared.logs import get_logger

#: The pause after the system had no file or no memory for a connection.
REST_SECONDS = 0.5
#: Errors that mean that the system lacks files or memory; others concern one client.
_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = get_logger(__name__)


class Acceptor:
    """Accepts the connections of a listening socket, many in each turn of the event loop.

    Args:
        listener: the socket; it becomes non-blocking, and `close` closes it.
        create_protocol: makes the protocol of each connection.
        most: how many connections are accepted in one turn at most; then connected clients get
            their turn.
    """

    def __init__(
        self, listener: socket.socket, create_protocol: Callable[[], asyncio.Protocol], most: int
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._create_protocol = create_protocol
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._listen()

    def close(self) -> None:
        """Close the socket, so that no more connections are accepted; may be called again."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept_waiting)

    def _accept_waiting(self) -> None:
        for _ in range(self._most):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                log.warning("no connection can be accepted", reason=error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(REST_SECONDS, self._listen)
                return
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, connection)
        except OSError as error:  # the client has left already
            log.debug("the connection did not begin", reason=error.strerror)
            connection.close()
