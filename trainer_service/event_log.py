"""The events of each training: kept in the store, and announced on Redis as they happen.

    trainings/<id>/events.jsonl              an event a line; line n holds the event with the id n
    headstart:training:<id>:events           the latest of them as a Redis stream, under ids n-0

The store is the truth. An event is durable before it is announced, so nobody ever saw one that a
crash could take back; a reader who misses one on Redis finds it in the store.
"""

import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.errors import TrainingNotFound
from shared.files import locked_briefly, sync_directory
from shared.identifiers import is_id
from trainer_service.events import Event, ResultEvent, event_adapter, identity, told_by
from trainer_service.schemas import TrainingRecord

EVENTS_FILE = "events.jsonl"
FIELD = "event"
#: So many events of a training are on the wire, for a day; who is further behind reads the store.
WIRE_LENGTH = 1000
EXPIRY_SECONDS = 86_400
#: A Redis that did not answer is left alone for so long: training must not wait for it.
RETRY_SECONDS = 5.0

_TAIL_BYTES = 16_384


def connect(url: str) -> redis.Redis:
    """Return a client that gives up on a silent Redis within two seconds."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        # Whatever somebody else has put there.
        encoding_errors="replace",
    )


def stream_key(training_id: str) -> str:
    return f"headstart:training:{training_id}:events"


class EventLog:
    """Appends to and reads the events of trainings; any number of processes may do both.

    Args:
        trainings: the directory of the trainings.
        client: where events are announced; one that does not answer costs nothing but speed.
    """

    def __init__(self, trainings: Path, client: redis.Redis) -> None:
        self._trainings = trainings
        self._client = client
        self._silent_until = 0.0
        self._told: dict[str, list[Any]] = {}

    def directory(self, training_id: str) -> Path:
        if not is_id(training_id):
            raise TrainingNotFound(training_id)
        return self._trainings / training_id

    def append(self, training_id: str, events: Sequence[Event]) -> None:
        """Give the events their ids and add them; after a training's result nothing is added."""
        self._append(training_id, lambda: events)

    def tell(self, record: TrainingRecord) -> None:
        """Append the events that the record tells and the log does not have.

        It may be repeated at any time: what a crash kept from being told is told then.
        """
        told = told_by(record)
        identities = [identity(event) for event in told]
        if self._told.get(record.id) == identities:
            return

        def untold() -> list[Event]:
            known = {identity(event) for event in self.read(record.id)}
            return [event for event in told if identity(event) not in known]

        self._append(record.id, untold)
        self._told[record.id] = identities

    def read(self, training_id: str, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return at most `limit` of the events whose ids are greater than `after`."""
        try:
            with (self.directory(training_id) / EVENTS_FILE).open("rb") as file:
                lines = islice(file, after, None if limit is None else after + limit)
                # A line without its end is still being written.
                return [event_adapter.validate_json(line) for line in lines if line[-1:] == b"\n"]
        except FileNotFoundError:
            return []

    def last(self, training_id: str) -> Event | None:
        """Return the latest event, if there is any."""
        try:
            with (self.directory(training_id) / EVENTS_FILE).open("rb") as file:
                return _last_event(file)[0]
        except FileNotFoundError:
            return None

    def _append(self, training_id: str, choose: Callable[[], Sequence[Event]]) -> None:
        directory = self.directory(training_id)
        with (
            locked_briefly(directory / ".events.lock"),
            (directory / EVENTS_FILE).open("a+b") as file,
        ):
            last, end = _last_event(file)
            # What a crash left of an event is no event.
            file.truncate(end)
            if isinstance(last, ResultEvent):
                return
            if events := choose():
                self._announce(training_id, _write(file, events, last.id if last else 0))

    def _announce(self, training_id: str, events: Sequence[Event]) -> None:
        if time.monotonic() < self._silent_until:
            return
        key = stream_key(training_id)
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for event in events:
                    fields: Any = {FIELD: event.model_dump_json()}
                    pipeline.xadd(key, fields, id=f"{event.id}-0", maxlen=WIRE_LENGTH)
                pipeline.expire(key, EXPIRY_SECONDS)
                pipeline.execute()
        except (redis.RedisError, OSError):
            self._silent_until = time.monotonic() + RETRY_SECONDS


def _write(file: IO[bytes], events: Sequence[Event], last_id: int) -> list[Event]:
    """Append the events under the ids that follow `last_id`, durably, and return them."""
    numbered = [
        event.model_copy(update={"id": number})
        for number, event in enumerate(events, start=last_id + 1)
    ]
    file.write(b"".join(event.model_dump_json().encode() + b"\n" for event in numbered))
    file.flush()
    os.fsync(file.fileno())
    if last_id == 0:
        sync_directory(Path(file.name).parent)
    return numbered


def _last_event(file: IO[bytes]) -> tuple[Event | None, int]:
    """Return the last whole event and the offset of its end."""
    size, length = file.seek(0, os.SEEK_END), _TAIL_BYTES
    while True:
        start = max(0, size - length)
        file.seek(start)
        tail = file.read(size - start)
        end = tail.rfind(b"\n") + 1
        begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
        if start == 0 or begin > 0:
            break
        length *= 4
    event = event_adapter.validate_json(tail[begin:end]) if end else None
    return event, start + end
