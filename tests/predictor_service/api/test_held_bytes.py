"""Clients that send large bodies, or slowly, to a real predictor that others use."""

import os
import re
import select
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.inputs.tiny_model import picture, publish_tiny_model
from tests.support.processes.predictor_process import PredictorProcess, wait_for

pytestmark = pytest.mark.integration

MEGABYTE = 1 << 20


@pytest.fixture
def start(store, start_predictor) -> Callable[..., PredictorProcess]:
    def started(**settings: int) -> PredictorProcess:
        publish_tiny_model(store)
        predictor = start_predictor(**settings)
        predictor.wait_until_ready()
        assert predictor.predict(picture("red")).status_code == 200
        return predictor

    return started


def begin(predictor: PredictorProcess, announced: int, sent: bytes) -> socket.socket:
    """Send the head and the beginning of a predict request."""
    parts = urlsplit(predictor.url)
    client = socket.create_connection((parts.hostname, parts.port), timeout=20)
    client.sendall(
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % announced
    )
    client.sendall(sent)
    return client


def memory(predictor: PredictorProcess) -> float:
    """Return the most megabytes that the process has had so far."""
    status = Path(f"/proc/{predictor.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


def test_clients_that_trickle_in_all_places_keep_nobody_out(start):
    predictor = start(max_requests=64)
    with ExitStack() as stack:
        slow = [stack.enter_context(begin(predictor, 1000, b"\x89")) for _ in range(64)]
        for _ in range(20):
            wait_for(lambda: predictor.predict(picture("red")).status_code == 200, "a place", 10)
            slow.append(stack.enter_context(begin(predictor, 1000, b"\x89")))
        answer = slow[0].recv(65_536)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Less than 16384 bytes a second" in answer


def test_bodies_take_bounded_memory_and_small_requests_find_room(start):
    predictor = start(
        max_requests=16,
        max_image_bytes=16 * MEGABYTE,
        max_request_bytes=16 * MEGABYTE,
        max_held_bytes=64 * MEGABYTE,  # 2 for each of 16 requests, and 32 for all
    )
    before = memory(predictor)
    noise = os.urandom(12 * MEGABYTE)
    with ExitStack() as stack:
        begun = [begin(predictor, 16 * MEGABYTE, noise[:MEGABYTE]) for _ in range(14)]
        clients = [stack.enter_context(client) for client in begun]
        for client in clients:
            client.sendall(noise[MEGABYTE:])
        wait_for(lambda: len(answered(clients)) >= 11, "refusals")
        said = [client.recv(65_536) for client in answered(clients)]

        assert predictor.predict(picture("red")).status_code == 200
        grown = memory(predictor) - before

    refused = [answer for answer in said if answer.startswith(b"HTTP/1.1 503")]
    # On a machine that is busy some may have been too slow.
    assert {answer[:12] for answer in said} <= {b"HTTP/1.1 503", b"HTTP/1.1 408"}
    assert all(b"HEADSTART_MAX_HELD_BYTES allows 67108864" in answer for answer in refused)
    assert all(b"retry-after: 5" in answer for answer in refused)
    assert grown < 64 * 1.125 + 20


def answered(clients: list[socket.socket]) -> list[socket.socket]:
    return select.select(clients, [], [], 0)[0]


def test_a_body_is_in_memory_once(start):
    """Not as pieces and as a whole, nor in a buffer and as bytes."""
    predictor = start(max_image_bytes=40 * MEGABYTE)
    before = memory(predictor)

    answer = predictor.http.post("/v1/predict", content=bytes(40 * MEGABYTE))
    form = predictor.predict(bytes(40 * MEGABYTE))

    assert {answer.status_code, form.status_code} == {422}
    assert memory(predictor) - before < 40 * 1.125 + 16
