"""Live progress of trainings, on Redis: news for who watches, never the truth."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trainer_service.schemas import Progress, State

#: Progress of a training nobody finished is forgotten after a day.
EXPIRY_SECONDS = 86_400
REPORT_INTERVAL = 0.1


def connect(url: str) -> redis.Redis:
    """Return a client that gives up on a silent Redis within two seconds."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


class ProgressBoard:
    """Counts of done images, epochs or steps, a field per part so that repeating one is harmless.

    A Redis that is away costs the news, not the training: its errors end here.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def ping(self) -> None:
        """Raise what keeps Redis from answering."""
        self._client.ping()

    def start(self, training_id: str, phase: State, total: int) -> None:
        """Open a phase, forgetting the one before."""
        key = _key(training_id)
        with _ignoring_redis_errors(), self._client.pipeline() as pipeline:
            pipeline.delete(key)
            pipeline.hset(key, mapping={"phase": phase, "total": total})
            pipeline.expire(key, EXPIRY_SECONDS)
            pipeline.execute()

    def advance(self, training_id: str, done: int, part: str = "0") -> None:
        """Say how much of a part is done in all."""
        key = _key(training_id)
        with _ignoring_redis_errors(), self._client.pipeline() as pipeline:
            pipeline.hset(key, f"done:{part}", done)
            # Speed counts from the first report on: what came before it was loading.
            pipeline.hsetnx(key, "first_at", str(time.time()))
            pipeline.hsetnx(key, "first_done", str(done))
            pipeline.execute()

    def read(self, training_id: str, phase: State) -> Progress | None:
        """Return the progress of the phase, if it is the one being reported."""
        fields: dict[str, str] = {}
        with _ignoring_redis_errors():
            fields = self._client.hgetall(_key(training_id))  # type: ignore[assignment]
        if fields.get("phase") != phase:
            return None
        done = sum(int(value) for name, value in fields.items() if name.startswith("done:"))
        total = int(fields["total"])
        rate = _rate(fields, done)
        return Progress(
            phase=phase,
            done=done,
            total=total,
            per_second=round(rate, 2) if rate else None,
            eta_seconds=round(max(0, total - done) / rate, 1) if rate else None,
        )


class Ticker:
    """Passes on at most ten reports a second, and always the last one."""

    def __init__(self, board: ProgressBoard, training_id: str, part: str = "0") -> None:
        self._board = board
        self._training_id = training_id
        self._part = part
        self._next = 0.0

    def __call__(self, done: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if last or now >= self._next:
            self._next = now + REPORT_INTERVAL
            self._board.advance(self._training_id, done, self._part)


def _rate(fields: dict[str, str], done: int) -> float | None:
    if "first_at" not in fields or done <= int(fields["first_done"]):
        return None
    seconds = time.time() - float(fields["first_at"])
    return (done - int(fields["first_done"])) / seconds if seconds > 0 else None


def _key(training_id: str) -> str:
    return f"headstart:training:{training_id}:progress"


@contextmanager
def _ignoring_redis_errors() -> Iterator[None]:
    with contextlib.suppress(redis.RedisError, OSError):
        yield
