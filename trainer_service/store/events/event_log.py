"""The events of each training: kept in the store, and announced on Redis as they happen.

    trainings/<id>/events.jsonl              one event per line; line n has the event with id n
    headstart:training:<id>:events           the latest of them as a Redis stream, with ids n-0

A damaged line is left out; the others keep their ids, which are their line numbers.

An event is synced to the disk before it is announced, so no crash can take back an event that a
client has seen. A reader that misses one on Redis finds it in the store.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import redis
from pydantic import ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.documents import reason
from shared.files import is_disk_full, locked_briefly, sync_directory
from shared.identifiers import is_id
from shared.logs import get_logger
from trainer_service.errors import RecordCorrupt, TrainingNotFound
from trainer_service.store.events.event import EndEvent
from trainer_service.store.events.events import (
    Event,
    EventPage,
    event_adapter,
    events_of,
    identity,
)
from trainer_service.store.files.small_files import is_permanent, open_small
from trainer_service.store.records.training_record import TrainingRecord

EVENTS_FILE = "events.jsonl"
FIELD = "event"
#: A thousand times the events of a long training; a damaged file must not fill the memory.
MOST_BYTES = 2**28
#: Redis keeps this many events of a training, for a day; older ones are read from the store.
WIRE_LENGTH = 1000
EXPIRY_SECONDS = 86_400
#: After Redis did not answer, nothing is announced for this long: training must not wait for it.
RETRY_SECONDS = 5.0

_TAIL_BYTES = 16_384
#: How many trainings to remember whose logs are known to be complete.
_REMEMBERED = 1000

log = get_logger(__name__)


def connect(url: str) -> redis.Redis:
    """Return a client that gives up on a silent Redis within two seconds."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=2,
        socket_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        # Other programs may have written anything to Redis.
        encoding_errors="replace",
    )


class Dispensable:
    """Lets trainings go on although a file can't be written, for example that of their events.

    Args:
        missing: what is logged then, for example "progress is not kept".
        full_disk: whether they also go on if the disk is full.
    """

    def __init__(self, missing: str, *, full_disk: bool = False) -> None:
        self._missing = missing
        self._full_disk = full_disk
        self._warned = ""

    @contextmanager
    def of(self, training_id: str) -> Iterator[None]:
        """End the body at a permanent OSError, and log it once; all other errors are raised."""
        try:
            yield
        except OSError as error:
            if not (is_permanent(error) or (self._full_disk and is_disk_full(error))):
                raise
            if self._warned != training_id:
                self._warned = training_id
                log.warning(self._missing, training_id=training_id, reason=str(error))


def stream_key(training_id: str) -> str:
    return f"headstart:training:{training_id}:events"


class EventLog:
    """Appends and reads the events of trainings; any number of processes may do both.

    Args:
        trainings: the directory of the trainings.
        client: the Redis to announce events on. Without it, readers only see events later.
    """

    def __init__(self, trainings: Path, client: redis.Redis) -> None:
        self._trainings = trainings
        self._client = client
        self._silent_until = 0.0
        self._complete: dict[str, list[Any]] = {}
        self._dispensable = Dispensable("events are not kept")

    def directory(self, training_id: str) -> Path:
        if not is_id(training_id):
            raise TrainingNotFound(training_id)
        return self._trainings / training_id

    def is_removed(self, training_id: str) -> bool:
        """Return whether the training was removed, so that it will have no more events."""
        try:
            self.directory(training_id).stat()
        except OSError as error:
            return isinstance(error, FileNotFoundError)  # any other error may be temporary
        return False

    def append(self, training_id: str, events: Sequence[Event]) -> None:
        """Number the events and append them; after the result of a training, nothing is added."""
        self._append(training_id, lambda: events)

    def append_once(self, training_id: str, event: Event) -> None:
        """Append an event, unless the log has one with the same `identity`."""

        def missing() -> list[Event]:
            logged = {identity(event) for event in self.read(training_id)}
            return [] if identity(event) in logged else [event]

        self._append(training_id, missing)

    def append_missing(self, record: TrainingRecord) -> None:
        """Append the events that follow from the record (`events_of`) and are not in the log.

        It can be repeated at any time, and then adds what was not written because of a crash.
        """
        self.complete(record.id, events_of(record))

    def complete(self, record_id: str, events: Sequence[Event]) -> None:
        """Append those of the events that are not in the log, as `append_missing`.

        Args:
            record_id: the id of the training, or of the comparison.
            events: all that follow from its record.
        """
        identities = [identity(event) for event in events]
        if self._complete.get(record_id) == identities:
            return

        def missing() -> list[Event]:
            logged = {identity(event) for event in self.read(record_id)}
            return [event for event in events if identity(event) not in logged]

        self._append(record_id, missing)
        if len(self._complete) >= _REMEMBERED:
            self._complete.clear()
        self._complete[record_id] = identities

    def read(self, training_id: str, after: int = 0, limit: int | None = None) -> list[Event]:
        """Return the events with ids greater than `after`, at most `limit` of them.

        Raises:
            RecordCorrupt: the log can't be read.
        """
        with self._read_errors_wrapped(training_id):
            try:
                with open_small(self.directory(training_id) / EVENTS_FILE, MOST_BYTES) as file:
                    return list(islice(_events(file, after), limit))
            except FileNotFoundError:
                return []

    def page(self, training_id: str, after: int, limit: int) -> EventPage:
        """Return the first `limit` events with an id above `after`, and whether no more follow."""
        events = self.read(training_id, after, limit)
        last = events[-1] if events else self.last(training_id)
        return EventPage(
            events=events,
            after=events[-1].id if events else after,
            ended=isinstance(last, EndEvent),
        )

    def last(self, training_id: str) -> Event | None:
        """Return the latest event, or None if there is none.

        Raises:
            RecordCorrupt: the log can't be read.
        """
        with self._read_errors_wrapped(training_id):
            try:
                with open_small(self.directory(training_id) / EVENTS_FILE, MOST_BYTES) as file:
                    return _end(file).event
            except FileNotFoundError:
                return None

    def _append(self, training_id: str, choose: Callable[[], Sequence[Event]]) -> None:
        directory = self.directory(training_id)
        with (
            self._dispensable.of(training_id),
            locked_briefly(directory / ".events.lock"),
            open_small(directory / EVENTS_FILE, MOST_BYTES, "a+b") as file,
        ):
            end = _end(file)
            # A crash may have left an incomplete line at the end.
            file.truncate(end.offset)
            if isinstance(end.event, EndEvent):
                return
            if events := choose():
                self._announce(training_id, _write(file, events, end.lines))

    @contextmanager
    def _read_errors_wrapped(self, training_id: str) -> Iterator[None]:
        """Turn a permanent OSError of the body into RecordCorrupt."""
        try:
            yield
        except OSError as error:
            if not is_permanent(error):
                raise
            name = f"{self._trainings.name}/{training_id}/{EVENTS_FILE}"
            raise RecordCorrupt(f"{name} can't be read: {reason(error)}.") from None

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
    """Append the events with the ids after `last_id`, sync them to the disk, and return them."""
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


class _End(NamedTuple):
    """The last undamaged event, the number of whole lines, and the offset of their end."""

    event: Event | None
    lines: int
    offset: int


def _events(file: IO[bytes], after: int = 0) -> Iterator[Event]:
    for number, line in enumerate(islice(file, after, None), start=after + 1):
        event = _event(line)
        if event is not None:
            # The line number counts, whatever id a damaged line may hold.
            yield event if event.id == number else event.model_copy(update={"id": number})


def _event(line: bytes) -> Event | None:
    """Return the event of a line; None if it is damaged, or incomplete as it is being written."""
    try:
        return event_adapter.validate_json(line) if line.endswith(b"\n") else None
    except ValidationError:
        return None


def _end(file: IO[bytes]) -> _End:
    """Find the end of a log; all of it is read only if its last line is damaged."""
    line, offset = _last_line(file)
    event = _event(line)
    if event is not None or not line:
        return _End(event, event.id if event else 0, offset)
    file.seek(0)
    lines = sum(line.endswith(b"\n") for line in file)
    file.seek(0)
    return _End(next(iter(deque(_events(file), maxlen=1)), None), lines, offset)


def _last_line(file: IO[bytes]) -> tuple[bytes, int]:
    """Return the last whole line and the offset of its end."""
    size, length = file.seek(0, os.SEEK_END), _TAIL_BYTES
    while True:
        start = max(0, size - length)
        file.seek(start)
        tail = file.read(size - start)
        end = tail.rfind(b"\n") + 1
        begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
        if start == 0 or begin > 0:
            return tail[begin:end], start + end
        length *= 4
