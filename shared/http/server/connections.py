"""Limits what a connection may cost before its request reaches the application.

uvicorn accepts headers of any size for any time, and keeps in memory what a client does not read.
All of this happens before a request can be asked for a key.
"""

import fcntl
import json
import socket
import termios
import time
from array import array
from asyncio import Transport
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from itertools import takewhile
from typing import Any, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from shared.logs import get_logger

MOST_HEAD_BYTES = 64 * 2**10
#: Each header costs Python some 150 bytes, however short it is.
MOST_HEADERS = 200
#: Requests that a client may send before the answer to an earlier one.
MOST_AHEAD = 8
#: A client that sends its body more slowly than this, for this long, may lose its place to others.
SLOW_BYTES_PER_SECOND = 16 << 10
SLOW_SECONDS = 2.0
#: An interim answer. Every HTTP/1.1 client has to accept it, even if it did not ask for one.
INTERIM_ANSWER = b"HTTP/1.1 100 Continue\r\n\r\n"
#: tcpi_state of a connection that the other side has reset.
TCP_CLOSE = 7
#: How long a refused client that still sends may take to read the refusal.
LINGER_SECONDS = 1.0

log = get_logger(__name__)


class Refusal(NamedTuple):
    """An answer to a request that does not reach the application.

    Attributes:
        status: the HTTP status.
        detail: the reason, as a sentence.
    """

    status: int
    detail: str

    def answer(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the bytes of the whole answer.

        Args:
            headers: headers that every answer of the service has.
        """
        title = HTTPStatus(self.status).phrase
        problem = {"type": "about:blank", "title": title, "status": self.status}
        body = json.dumps(problem | {"detail": self.detail}).encode()
        lines = [
            *headers,
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            lines.append((b"retry-after", b"1"))
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        return b"%b%b\r\n%b" % (STATUS_LINE[self.status], head, body)


LONG_HEAD = Refusal(
    431,
    f"The request line and the headers may have {MOST_HEAD_BYTES} bytes and {MOST_HEADERS} lines.",
)
LONG_URL = Refusal(414, f"The URL may have {MOST_HEAD_BYTES} bytes.")
MANY_AHEAD = Refusal(400, f"At most {MOST_AHEAD} requests may wait for their answers.")
SLOW = Refusal(
    408,
    f"Less than {SLOW_BYTES_PER_SECOND} bytes a second of this request arrived, and others needed "
    "its connection.",
)
CUT_OFF = Refusal(400, "The request ended before it was complete.")
NO_PROXY = Refusal(501, "This service is no proxy: it does not know the method CONNECT.")
TWO_HOSTS = Refusal(400, "Expected one header `Host`. Received: several.")
FULL = Refusal(503, "All connections that HEADSTART_MAX_CONNECTIONS allows are in use.")


class Lobby:
    """All connections of a service, and which of them wait for the headers of a request.

    Args:
        most: how many connections there may be.
        seconds: how long a client may take for its headers, or read nothing of its answer.
        readable_by: returns the headers with which a page of an origin can read an answer.
        clock: returns the time in seconds; it never goes back.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        readable_by: Callable[[str], Mapping[str, str]] = lambda _: {},
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.most = most
        self.readable_by = readable_by
        self._clock = clock
        self._all: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}
        self._sent_all: set[Connection] = set()

    def admit(self, connection: "Connection") -> bool:
        """Add a new connection, if need be in place of the one that has waited longest.

        Returns:
            Whether there was room for it.
        """
        if len(self._all) >= self.most and not self._make_room():
            return False
        self._all.add(connection)
        self.enter(connection)
        return True

    def enter(self, connection: "Connection") -> None:
        """Note that the connection waits for the headers of a request from now on."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = self._clock()

    def leave(self, connection: "Connection") -> None:
        """Note that the connection does not wait for headers any more."""
        self._waiting.pop(connection, None)

    def watch(self, connection: "Connection") -> None:
        """Note that a client sends nothing more, so that `tidy` checks whether it has left."""
        self._sent_all.add(connection)

    def forget(self, connection: "Connection") -> None:
        """Remove a connection that is closed."""
        self._all.discard(connection)
        self._sent_all.discard(connection)
        self.leave(connection)

    def tidy(self) -> None:
        """Close the connections of clients that are silent or have left.

        It has to be called several times a second.
        """
        now = self._clock()
        entered = takewhile(lambda item: now - item[1] > self.seconds, self._waiting.items())
        for connection in [connection for connection, _ in entered]:
            self.leave(connection)
            connection.end_waiting()
        for connection in list(self._all):
            if connection.unread_for(now) > self.seconds:
                connection.transport.abort()
        for connection in list(self._sent_all):
            if _is_reset(connection.transport):
                connection.transport.abort()

    def _make_room(self) -> bool:
        """Close the longest idle connection, one without a request and with nothing left to send.

        If there is none, close the connection that has received its body too slowly for longest.

        Returns:
            Whether a connection was closed.
        """
        for connection in self._waiting:
            if not connection.transport.get_write_buffer_size():
                connection.transport.abort()
                self.forget(connection)
                return True
        now = self._clock()
        slowest = max(self._all, key=lambda connection: connection.slow_for(now))
        if slowest.slow_for(now) < SLOW_SECONDS:
            return False
        self.forget(slowest)
        slowest.make_way()
        return True


class Connection(HttpToolsProtocol):
    """uvicorn's connection of a client, with limits on size and time."""

    def __init__(self, lobby: Lobby, **given_by_uvicorn: Any) -> None:
        super().__init__(**given_by_uvicorn)
        self._lobby = lobby
        self._in_head = False
        self._head_bytes = 0
        self._head_lines = 0
        # While the parser collects a header or skips meaningless bytes, it makes no callback.
        self._bytes_without_callback = 0
        self._head_without_upgrade = b""
        self._refusal: Refusal | None = None
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._ignores_input = False
        self._body_bytes = 0
        self._body_since = 0.0
        self._unread = 0
        self._read_at = time.monotonic()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._lobby.admit(self):
            self._ignores_input = True
            transport.write(FULL.answer(self.server_state.default_headers))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lobby.forget(self)
        for asked in self._unanswered:  # uvicorn itself only notifies the last one
            asked.disconnected = True
            asked.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        self._bytes_without_callback += len(data)
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self._bytes_without_callback > MOST_HEAD_BYTES and not self._ignores_input:
            self._refuse(LONG_HEAD)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open: the client sends nothing more, but may still read an answer."""
        asked = self.cycle
        if self._ignores_input or not (self._in_head or self._awaits_answer()):
            return False
        if self._in_head or asked.more_body:
            self._refuse(CUT_OFF)
            return True
        asked.keep_alive = False
        if not self.pipeline:
            self._probe_client()
        self._lobby.watch(self)
        return True

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MOST_AHEAD:
            self._give_up(MANY_AHEAD)
        self._in_head = True
        self._bytes_without_callback = self._head_bytes = self._head_lines = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._bytes_without_callback = 0
        self._head_bytes += len(url)
        if self._head_bytes > MOST_HEAD_BYTES:
            self._give_up(LONG_URL)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._bytes_without_callback = 0
        self._head_bytes += len(name) + len(value)
        self._head_lines += 1
        if self._head_bytes > MOST_HEAD_BYTES or self._head_lines > MOST_HEADERS:
            self._give_up(LONG_HEAD)
        if self._in_head:  # else it is a trailer, which must not become a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":  # which the parser always takes for agreed
            self._give_up(NO_PROXY)
        if sum(name == b"host" for name, _ in self.headers) > 1:
            self._give_up(TWO_HOSTS)
        if self.parser.should_upgrade():
            self._head_without_upgrade = self._repeat_head(without=b"upgrade")
            return
        self._in_head = False
        self._bytes_without_callback = self._head_bytes = self._head_lines = 0
        self._body_bytes, self._body_since = 0, time.monotonic()
        super().on_headers_complete()
        self._unanswered.append(self.cycle)
        self._lobby.leave(self)
        if self.pipeline:  # nothing is read meanwhile, not even that the client has left
            self._lobby.watch(self)

    def on_body(self, body: bytes) -> None:
        self._bytes_without_callback = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else the whole request is parsed again
            super().on_message_complete()

    def on_response_complete(self) -> None:
        is_last = not self.pipeline
        self._unanswered.popleft()
        super().on_response_complete()
        if is_last:
            self._lobby.enter(self)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser, or a callback here, has refused; uvicorn calls this."""
        self._refuse(self._refusal or Refusal(400, msg))

    def end_waiting(self) -> None:
        """Refuse a client that has taken too long for its headers, or close an idle connection."""
        if self._in_head and not self._ignores_input:
            seconds = f"HEADSTART_SILENCE_SECONDS={self._lobby.seconds:g}"
            self._refuse(Refusal(408, f"The headers of the request did not end within {seconds}."))
        else:
            self.transport.close()

    def make_way(self) -> None:
        """Refuse a slow client whose connection is needed by another."""
        self._refuse(SLOW)

    def slow_for(self, now: float) -> float:
        """Return for how many seconds a body has come too slowly; 0 if none is expected."""
        asked = self.cycle
        if self._ignores_input or self._in_head or self.flow.read_paused:
            return 0.0
        if asked is None or not asked.more_body or asked.response_started:
            return 0.0
        seconds = now - self._body_since
        return seconds if self._body_bytes < SLOW_BYTES_PER_SECOND * seconds else 0.0

    def unread_for(self, now: float) -> float:
        """Return for how many seconds the client has read nothing although an answer waits."""
        waiting = self.transport.get_write_buffer_size()
        # The kernel takes more only after much of its buffer has been read, so look at that, too.
        unread = waiting + _unread_in_kernel(self.transport) if waiting else 0
        if waiting == 0 or unread < self._unread:
            self._read_at = now
        self._unread = unread
        return now - self._read_at

    def _awaits_answer(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _probe_client(self) -> None:
        """Send a few bytes; if the client has left, its system then resets the connection."""
        if self.cycle.response_started or self.scope["http_version"] == "1.0":
            self.loop.call_later(LINGER_SECONDS, self._abort_unless_sending)
        else:
            self.transport.write(INTERIM_ANSWER)

    def _abort_unless_sending(self) -> None:
        if not self.transport.get_write_buffer_size():
            self.transport.abort()

    def _parse(self, data: bytes) -> bytes:
        """Parse bytes and return those that have to be parsed again."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            # Java's and curl's clients ask for another protocol, which this service does not speak.
            # The parser assumes that it does, and would take the body for the next request, or
            # pass over everything that follows a last request: a new one takes its place.
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            return self._head_without_upgrade + data[upgrade.args[0] :]
        return b""

    def _repeat_head(self, *, without: bytes) -> bytes:
        """Return request line and headers as they came, without the header of a given name."""
        version = self.parser.get_http_version().encode()
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        lines = [b"%b: %b" % header for header in self.headers if header[0] != without]
        return b"\r\n".join([first, *lines, b"", b""])

    def _give_up(self, refusal: Refusal) -> None:
        """Stop the parser, from one of its callbacks, and remember the answer."""
        self._refusal = refusal
        raise ValueError(refusal.detail)

    def _refuse(self, refusal: Refusal) -> None:
        """Ignore what else comes, and send the refusal unless an earlier answer comes first."""
        self._ignores_input = True
        asked = self.cycle
        if asked is None or asked.response_complete:
            self._answer(refusal)
        elif self._in_head or not asked.more_body:
            asked.keep_alive = False  # its answer is the last one
        elif asked.response_started or self.pipeline:
            self.transport.abort()
        else:
            asked.disconnected = True
            asked.message_event.set()
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        log.info("refused", status=refusal.status, reason=refusal.detail, client=self.client)
        if not self.transport.is_closing():
            self.transport.write(refusal.answer(self._headers()))
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """Return what a refusal has: if the request has told its origin already, also for that."""
        origin = next((value for name, value in self.headers or () if name == b"origin"), b"")
        found = self._lobby.readable_by(origin.decode("latin-1"))
        own = [(name.encode(), value.encode()) for name, value in found.items()]
        return [*self.server_state.default_headers, *own]


def _unread_in_kernel(transport: Transport) -> int:
    """Return how many sent bytes the kernel still holds, since the client has not taken them."""
    answer = array("i", [0])
    with suppress(OSError):  # the connection has just been closed
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
    return answer[0]


def _is_reset(transport: Transport) -> bool:
    """Return whether the other side has reset the connection, without reading from it."""
    with suppress(OSError):  # the connection has just been closed
        connection = transport.get_extra_info("socket")
        return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE)
    return False
