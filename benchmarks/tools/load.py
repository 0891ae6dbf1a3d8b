"""A load generator on raw sockets; on two cores, a heavier one would measure itself."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

#: A refused client waits only a tenth of what Retry-After asks for.
PAUSE_SECONDS = 0.1
BOUNDARY = "a-boundary-that-is-in-no-image"
OK, UNAVAILABLE = 200, 503


@dataclass(frozen=True, slots=True)
class Answer:
    """One answered request; times in seconds of `time.perf_counter`."""

    status: int
    head: str
    body: bytes
    started: float
    ended: float

    @property
    def milliseconds(self) -> float:
        """The latency of the answer."""
        return 1000 * (self.ended - self.started)


@dataclass(frozen=True, slots=True)
class Load:
    """The results of a round of requests.

    Attributes:
        requests_per_second: answers with status 200 per second.
        p50: their median latency, in milliseconds.
        p99: the 99th percentile of their latency, in milliseconds.
        statuses: how many answers had each status.
    """

    requests_per_second: float
    p50: float
    p99: float
    statuses: dict[int, int]


def run_load(url: str, bodies: list[bytes], connections: int, seconds: float) -> Load:
    """Post images over several connections for some seconds, and return the results.

    Args:
        url: the URL to post to.
        bodies: the bytes of image files, posted in turns.
        connections: how many connections to use; each sends one request after the other.
        seconds: how long to post.
    """
    return summary(collect(url, bodies, connections, seconds), seconds)


def collect(url: str, bodies: list[bytes], connections: int, seconds: float) -> list[Answer]:
    """Post images as `run_load` does, and return every answer.

    Images are sent as forms with a field `file`, which all of the servers understand.
    """
    return asyncio.run(_collect(url, bodies, connections, seconds))


def summary(answers: Iterable[Answer], seconds: float) -> Load:
    """Return the rate and the latencies of answers that came within some seconds."""
    answers = list(answers)
    statuses = Counter(answer.status for answer in answers)
    latencies = [answer.milliseconds for answer in answers if answer.status == OK]
    if not latencies:
        return Load(0, 0, 0, dict(statuses))
    p50, p99 = percentiles(latencies)
    return Load(len(latencies) / seconds, p50, p99, dict(statuses))


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
    return statistics.median(values), cuts[98]


async def _collect(url: str, bodies: list[bytes], connections: int, seconds: float) -> list[Answer]:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    requests = [_request(parts.netloc, path, body) for body in bodies]
    answers: list[Answer] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (started := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            status, head, body = await _answer(reader)
            answers.append(Answer(status, head, body, started, time.perf_counter()))
            number += connections
            if status == UNAVAILABLE:
                await asyncio.sleep(PAUSE_SECONDS)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    return answers


def _request(host: str, path: str, picture: bytes) -> bytes:
    body = (
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="1.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        + picture
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return int(lines[0].split()[1]), head, await reader.readexactly(length)
