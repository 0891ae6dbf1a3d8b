"""A trainer that answers before it has the whole upload."""

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import contextmanager

import httpcore
import pytest
from typer.testing import CliRunner

from client.app import app
from client.early_answer import EarlyAnswer
from client.training import once
from client.training.once import TRIES

SIZE = 60_000_000
#: More than the buffers of both ends of a connection hold.
LITTLE = 20_000_000
REFUSAL = {"detail": "epochs: expected at least 1. Received: 0"}
LAST_CHUNK = b"\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
RECORD = {"id": "1", "state": "queued"}


class Early:
    """Answers each request after its first bytes, and counts what still comes.

    Attributes:
        received: the bytes of each connection.
    """

    def __init__(self, answers, secure=None):
        self.received = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme, port = "https" if secure else "http", self._listener.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{port}"
        if secure:
            self._listener = secure.wrap_socket(self._listener, server_side=True)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        for answer, waits in self._answers:
            connection, _ = self._listener.accept()
            with connection:
                self._take(connection, answer, waits)

    def _take(self, connection, answer, waits):
        self.received.append(len(connection.recv(1 << 16)))
        connection.sendall(INTERIM if waits else answer)
        end = b""
        while data := connection.recv(1 << 20):
            self.received[-1] += len(data)
            end = (end + data)[-len(LAST_CHUNK) :]
            if waits and end == LAST_CHUNK:
                connection.sendall(answer)

    def close(self):
        self._listener.close()
        self._thread.join()


def http(status, body):
    content = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content)


@contextmanager
def answering(*answers, secure=None):
    server = Early(answers, secure)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """What a server needs for TLS, with a certificate that the command trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["-nodes", "-subj", "/CN=headstart", "-keyout", key, "-out", certificate]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *made, *names],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.fixture
def archive(tmp_path):
    file = tmp_path / "pets.zip"
    with file.open("wb") as opened:
        opened.truncate(SIZE)
    return file


def train(server, archive):
    options = ["--detach", "--json", "--trainer", server.url]
    return CliRunner().invoke(app, ["train", str(archive), *options])


@contextmanager
def connected():
    """Yield what looks at a connection, and the other end of it."""
    early = EarlyAnswer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stream = httpcore.SyncBackend().connect_tcp("127.0.0.1", port)
        peer, _ = listener.accept()
    with peer:
        early.trace("connection.connect_tcp.complete", {"return_value": stream})
        yield early, peer
    stream.close()


@pytest.mark.parametrize("sent", [b"", INTERIM])
def test_as_long_as_there_is_no_answer_the_body_is_sent(sent):
    with connected() as (early, peer):
        peer.sendall(sent)
        time.sleep(0.05)
        early.stop_if_there()


def _answer(peer):
    peer.sendall(INTERIM + http(422, REFUSAL))


def _end(peer):
    peer.shutdown(socket.SHUT_WR)


def _reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest.mark.parametrize("act", [_answer, _end, _reset])
def test_an_answer_or_the_end_of_the_connection_ends_the_sending(act):
    with connected() as (early, peer):
        act(peer)
        time.sleep(0.05)
        with pytest.raises(httpcore.WriteError, match="has answered before the body had ended"):
            early.stop_if_there()


@pytest.mark.parametrize("status", [413, 422])
def test_no_more_is_sent_once_the_trainer_has_refused(archive, status):
    with answering((http(status, REFUSAL), False)) as server:
        done = train(server, archive)

    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout) == {"error": REFUSAL}
    assert server.received[0] < LITTLE


def test_a_trainer_that_is_busy_gets_it_once_more(archive, monkeypatch):
    monkeypatch.setattr(once, "FIRST_WAIT_SECONDS", 0.01)
    with answering((http(503, REFUSAL), False), (http(202, RECORD), True)) as server:
        done = train(server, archive)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == RECORD
    assert server.received[0] < LITTLE < SIZE < server.received[1]


def test_a_connection_that_ends_is_noticed_at_once(archive, monkeypatch):
    monkeypatch.setattr(once, "FIRST_WAIT_SECONDS", 0.001)
    with answering(*[(b"", False)] * TRIES) as server:
        monkeypatch.setattr(server, "_take", lambda connection, *_: connection.recv(100))
        done = train(server, archive)

    assert done.exit_code == 3, done.output


@pytest.mark.process
def test_over_tls_all_is_sent_and_the_answer_read(archive, secure):
    """Over TLS, bytes that have arrived may be session tickets and not yet an answer."""
    with answering((http(202, RECORD), True), secure=secure) as server:
        done = train(server, archive)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == RECORD
    assert server.received[0] > SIZE
