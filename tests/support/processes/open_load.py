"""Requests that come at a rate of their own, whether or not the earlier ones were answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

#: Beyond it a client would run out of sockets before the server does.
MAX_CONNECTIONS = 400
#: A server closes what is idle for five seconds; nobody can know whether it just does.
MAX_IDLE_SECONDS = 2.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Post:
    """A request, and the statuses it may be answered with when there is room."""

    body: bytes
    content_type: str
    statuses: frozenset[int]
    path: str = "/v1/predict"

    def encode(self, host: str) -> bytes:
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(slots=True)
class Outcome:
    """What a round came to.

    Attributes:
        latencies: seconds of every answer that is no 503, to be told, not judged.
        passed: of every request with 200, how many others got one while it waited.
        unexpected: answers of a status that the request does not explain.
        hurried: 503s without a `Retry-After`.
        broken: connections that ended without a whole answer.
        unsent: requests for which there was no connection left.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    unexpected: Counter[tuple[str, int]] = field(default_factory=Counter)
    hurried: int = 0
    broken: int = 0
    unsent: int = 0


def offer(url: str, posts: Sequence[Post], rate: float, seconds: float) -> Outcome:
    """Send the posts in turns, `rate` a second, for so many seconds."""
    return asyncio.run(_Clients(url, posts).offer(rate, seconds))


class _Clients:
    def __init__(self, url: str, posts: Sequence[Post]) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._posts = posts
        self._bytes = [post.encode(parts.netloc) for post in posts]
        self._idle: list[tuple[Connection, float]] = []
        self._outcome = Outcome()

    async def offer(self, rate: float, seconds: float) -> Outcome:
        started, sent, running = time.perf_counter(), 0, set()
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * rate:
                if len(running) < MAX_CONNECTIONS:
                    task = asyncio.create_task(self._send(sent % len(self._posts)))
                    running.add(task)
                    task.add_done_callback(running.discard)
                else:
                    self._outcome.unsent += 1
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*running)
        for (_, writer), _ in self._idle:
            writer.close()
        return self._outcome

    async def _send(self, number: int) -> None:
        post, started = self._posts[number], time.perf_counter()
        before = self._outcome.statuses[200]
        try:
            reader, writer = await self._connection()
            writer.write(self._bytes[number])
            status, headers = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            self._outcome.broken += 1
            return
        if status == 200:
            self._outcome.passed.append(self._outcome.statuses[200] - before)
        self._judge(post, status, headers, time.perf_counter() - started)
        if b"connection: close" in headers:
            writer.close()
        else:
            self._idle.append(((reader, writer), time.perf_counter()))

    def _judge(self, post: Post, status: int, headers: bytes, seconds: float) -> None:
        self._outcome.statuses[status] += 1
        if status == 503:
            self._outcome.hurried += b"retry-after:" not in headers
            return
        self._outcome.latencies.append(seconds)
        if status not in post.statuses:
            self._outcome.unexpected[post.content_type, status] += 1

    async def _connection(self) -> Connection:
        while self._idle:
            (reader, writer), since = self._idle.pop()
            if time.perf_counter() - since < MAX_IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(*self._address)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1]), head
