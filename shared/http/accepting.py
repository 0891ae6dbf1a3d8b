"""Takes new connections as fast as they come, however busy the process is.

uvloop takes one connection in each turn of the event loop. Where a turn serves fifty requests, a
new client waits behind fifty of every client that is already connected.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from shared.logs import get_logger

#: Until it is tried again, after the system had no file or no memory for a connection.
REST_SECONDS = 0.5
#: What the system lacks, rather than the client.
_LACKING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = get_logger(__name__)


class Acceptor:
    """Takes the connections of a listening socket, many in each turn of the event loop.

    Args:
        listener: the socket; it is made non-blocking, and closed with this.
        create_protocol: makes the protocol of each connection.
        most: how many are taken in one turn, so that those who are connected get theirs.
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
        """Take no more; to be called once or more often."""
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
                log.warning("no connection can be taken", reason=error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(REST_SECONDS, self._listen)
                return
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, connection)
        except OSError as error:  # the client is gone by now
            log.debug("the connection did not begin", reason=error.strerror)
            connection.close()
