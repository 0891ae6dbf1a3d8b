"""A load generator of raw sockets: on two cores a heavier one would measure itself."""

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

BOUNDARY = "a-boundary-that-is-in-no-picture"


@dataclass(frozen=True, slots=True)
class Load:
    """What a round of requests came to; latencies in milliseconds, of answers with status 200."""

    requests_per_second: float
    p50: float
    p99: float
    statuses: dict[int, int]


def run_load(url: str, bodies: list[bytes], connections: int, seconds: float) -> Load:
    """Post the pictures in turns, each connection one request after the other.

    They go as forms with a field `file`, which is what all of the servers understand.
    """
    return asyncio.run(_run(url, bodies, connections, seconds))


async def _run(url: str, bodies: list[bytes], connections: int, seconds: float) -> Load:
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    requests = [_request(parts.netloc, path, body) for body in bodies]
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (started := time.perf_counter()) < end:
            writer.write(requests[number % len(requests)])
            status = await _answer(reader)
            statuses[status] += 1
            if status == 200:  # noqa: PLR2004
                latencies.append(time.perf_counter() - started)
            number += connections
        writer.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    if not latencies:
        return Load(0, 0, 0, dict(statuses))
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else latencies * 99
    return Load(
        len(latencies) / seconds,
        1000 * statistics.median(latencies),
        1000 * cuts[98],
        dict(statuses),
    )


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


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])
