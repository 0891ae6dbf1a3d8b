"""Clients that fall silent within a request, are slow, or send nothing after it."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from shared.http.server.connections import INTERIM_ANSWER
from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.processes.predictor_process import PredictorProcess, wait_for
from tests.support.processes.small_service import read_all

SILENCE_SECONDS = 1


def connect(predictor: PredictorProcess) -> socket.socket:
    parts = urlsplit(predictor.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def head(body: bytes) -> bytes:
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )


@pytest.mark.process
def test_a_silent_client_gets_408_and_frees_its_place(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(silence_seconds=SILENCE_SECONDS, max_requests=1)
    predictor.wait_until_ready()
    data = picture("red")
    with connect(predictor) as silent:
        begun = time.monotonic()
        silent.sendall(head(data).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert silent.recv(65_536) == INTERIM_ANSWER  # it has the only place
        silent.sendall(data[:10])
        wait_for(lambda: predictor.predict(data).status_code == 200, "its place to be free")
        answer = silent.recv(65_536)
        assert silent.recv(1) == b""  # and is left

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"HEADSTART_SILENCE_SECONDS=1" in answer
    assert time.monotonic() - begun > SILENCE_SECONDS


@pytest.mark.process
def test_a_slow_client_is_served(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(silence_seconds=4 * SILENCE_SECONDS)
    predictor.wait_until_ready()
    data = picture("red")
    with connect(predictor) as slow:
        slow.sendall(head(data))
        step = len(data) // 5 + 1
        for start in range(0, len(data), step):
            time.sleep(SILENCE_SECONDS)
            slow.sendall(data[start : start + step])
        answer = slow.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.process
def test_a_client_that_shuts_its_sending_side_is_answered(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor()
    predictor.wait_until_ready()
    data = picture("red")
    with connect(predictor) as client:
        client.sendall(head(data) + data)
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client).removeprefix(INTERIM_ANSWER)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"]}]}")
