"""A client that falls silent in the middle of its request is let go; a slow one is served."""

import socket
import time
from urllib.parse import urlsplit

from tests.predictor_process import PredictorProcess
from tests.tiny_model import picture, publish_tiny_model

SILENCE_SECONDS = 1


def connect(predictor: PredictorProcess) -> socket.socket:
    parts = urlsplit(predictor.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def head(body: bytes) -> bytes:
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )


def test_a_silent_client_gets_408_and_frees_its_place(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(silence_seconds=SILENCE_SECONDS, max_requests=1)
    predictor.wait_until_ready()
    data = picture("red")
    with connect(predictor) as silent:
        silent.sendall(head(data) + data[:10])
        time.sleep(SILENCE_SECONDS / 4)
        begun = time.monotonic()
        while predictor.predict(data).status_code == 503:
            assert time.monotonic() < begun + 10
            time.sleep(0.05)
        answer = silent.recv(65_536)
        assert silent.recv(1) == b""  # and is left

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"HEADSTART_SILENCE_SECONDS=1" in answer
    assert time.monotonic() - begun > SILENCE_SECONDS / 2


def test_a_slow_client_is_served(store, start_predictor):
    publish_tiny_model(store)
    predictor = start_predictor(silence_seconds=SILENCE_SECONDS)
    predictor.wait_until_ready()
    data = picture("red")
    with connect(predictor) as slow:
        slow.sendall(head(data))
        step = len(data) // 5 + 1
        for start in range(0, len(data), step):
            time.sleep(SILENCE_SECONDS / 3)
            slow.sendall(data[start : start + step])
        answer = slow.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 200")
