"""Notices the answer to a request while its body is still being sent."""

import re
import socket
from typing import Any

import httpcore

#: What httpcore's trace calls a connection that has just been made.
CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")
PEEKED_BYTES = 4096
#: An interim answer, such as `100 Continue`; the real one follows it.
INTERIM = re.compile(rb"HTTP/1\.1 1\d\d .*?\r\n\r\n", re.DOTALL)


class EarlyAnswer:
    """The answer to a request that a client still sends.

    A service may answer before it has the whole request, for example that it is too large. It then
    throws away what still comes, so there is no use in sending that.
    """

    def __init__(self) -> None:
        self._stream: httpcore.NetworkStream | None = None

    def trace(self, event: str, details: dict[str, Any]) -> None:
        """Remember the connection; to be given to httpx as the request's extension `trace`."""
        if event in CONNECTED:
            self._stream = details["return_value"]

    def stop_if_there(self) -> None:
        """End the sending of the body if the answer has begun, or the connection has ended.

        Over TLS it is not known whether what has arrived is an answer, so all is sent.

        Raises:
            httpcore.WriteError: the answer is there. httpcore reads it after such an error.
        """
        if self._stream is None or self._stream.get_extra_info("ssl_object") is not None:
            return
        if self._stream.get_extra_info("is_readable") and self._has_begun(self._stream):
            raise httpcore.WriteError("The service has answered before the body had ended.")

    def _has_begun(self, stream: httpcore.NetworkStream) -> bool:
        connection: socket.socket = stream.get_extra_info("socket")
        try:
            arrived = connection.recv(PEEKED_BYTES, socket.MSG_PEEK)
        except OSError:
            return True
        return not arrived or INTERIM.sub(b"", arrived) != b""
