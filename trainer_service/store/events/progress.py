"""How far a training's phase is: kept for its record, and sent as events."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from shared.documents import read_small
from shared.files import is_fault_of_the_file, locked_briefly
from trainer_service.store.events.event_log import Dispensable, EventLog
from trainer_service.store.events.events import (
    EpochEvent,
    Event,
    ProgressEvent,
    StrengthEvent,
    TuneEpochEvent,
    TuneProgressEvent,
)
from trainer_service.store.records.training_record import Progress, State, TuneStep

REPORT_INTERVAL = 0.2
MOST_BYTES = 2**24
#: Seconds between two progress events; a phase that takes long reports at longer intervals.
EVENT_INTERVAL = 0.5
LONGEST_EVENT_INTERVAL = 5.0
EVENTS_PER_PHASE = 200


class Counts(BaseModel):
    """How many images or epochs of a phase are done; times are in seconds since 1970.

    Each part of the phase, such as a shard, has its own count, so a repeated part is not counted
    twice.
    """

    phase: State
    step: TuneStep | None = None
    total: int
    started_at: float
    done: dict[str, int] = Field(default_factory=dict)
    first_at: float | None = None
    first_done: int = 0
    told_at: float = 0.0

    def advance(self, part: str, done: int, now: float) -> None:
        """Set how many images or epochs of a part are done by now."""
        self.done[part] = done
        if self.first_at is None or now < self.first_at:  # or the clock was set back since
            # The speed is measured from the first report on: before it, things were loaded.
            self.first_at, self.first_done = now, done

    def progress(self, now: float) -> Progress:
        """Return the progress of the phase, with its speed and the remaining time."""
        done = sum(self.done.values())
        rate = self._rate(done, now)
        return Progress(
            phase=self.phase,
            step=self.step,
            done=done,
            total=self.total,
            per_second=round(rate, 2) if rate else None,
            eta_seconds=round(max(0, self.total - done) / rate, 1) if rate else None,
        )

    def due(self, now: float) -> bool:
        """Return whether it is time for an event."""
        interval = (now - self.started_at) / EVENTS_PER_PHASE
        interval = min(LONGEST_EVENT_INTERVAL, max(EVENT_INTERVAL, interval))
        waited = now - self.told_at
        # Negative if the clock was set back.
        return not 0 <= waited < interval or sum(self.done.values()) >= self.total

    def _rate(self, done: int, now: float) -> float | None:
        if self.first_at is None or done <= self.first_done or now <= self.first_at:
            return None
        return (done - self.first_done) / (now - self.first_at)


class ProgressBoard:
    """Keeps the progress of each training in a file, which several processes may update.

    If the file can't be written, that is logged, and the training goes on.

    Args:
        events: the log that gets progress events.
        clock: returns the time in seconds; one that all processes and machines share.
    """

    def __init__(self, events: EventLog, clock: Callable[[], float] = time.time) -> None:
        self._events = events
        self._clock = clock
        self._dispensable = Dispensable("progress is not kept", full_disk=True)

    def start(
        self, training_id: str, phase: State, total: int, step: TuneStep | None = None
    ) -> None:
        """Begin a phase, or a step of it; the counts of the last one are dropped.

        Args:
            training_id: the id of the training.
            phase: which phase it is in.
            total: the number of images or epochs.
            step: which step of tuning.
        """
        now = self._clock()
        counts = Counts(phase=phase, step=step, total=total, started_at=now)
        with self._dispensable.of(training_id), self._locked(training_id) as file:
            self._store(file, counts, now, announce=True)

    def advance(
        self, training_id: str, done: int, part: str = "0", total: int | None = None
    ) -> None:
        """Update the progress of the current phase.

        Args:
            training_id: the id of the training.
            done: how many images or epochs of the part are done by now.
            part: the part of the phase, such as the number of a shard.
            total: the number of the whole phase, if it has changed.
        """
        with self._dispensable.of(training_id), self._locked(training_id) as file:
            counts = _load(file)
            if counts is not None:
                now = self._clock()
                counts.total = counts.total if total is None else total
                counts.advance(part, done, now)
                self._store(file, counts, now, announce=counts.due(now))

    def read(self, training_id: str, phase: State) -> Progress | None:
        """Return the progress of a phase, or None if another phase is the current one."""
        counts = _load(self._file(training_id))
        if counts is None or counts.phase != phase:
            return None
        return counts.progress(self._clock())

    def _store(self, file: Path, counts: Counts, now: float, *, announce: bool) -> None:
        if announce:
            counts.told_at = now
            kind = TuneProgressEvent if counts.phase == State.TUNING else ProgressEvent
            self._events.append(file.parent.name, [kind(**counts.progress(now).model_dump())])
        # Not synced to the disk: after a crash of the machine the phase starts again anyway.
        temporary = file.with_suffix(".tmp")
        temporary.write_text(counts.model_dump_json())
        temporary.replace(file)

    def _file(self, training_id: str) -> Path:
        return self._events.directory(training_id) / "progress.json"

    @contextmanager
    def _locked(self, training_id: str) -> Iterator[Path]:
        file = self._file(training_id)
        with locked_briefly(file.with_name(".progress.lock")):
            yield file


class Ticker:
    """Passes on at most five reports of a part's progress a second, and always the last one."""

    def __init__(
        self,
        board: ProgressBoard,
        training_id: str,
        part: str = "0",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._training_id = training_id
        self._part = part
        self._clock = clock
        self._next = 0.0

    def __call__(self, done: int, *, last: bool = False, total: int | None = None) -> None:
        now = self._clock()
        if last or now >= self._next:
            self._next = now + REPORT_INTERVAL
            self._board.advance(self._training_id, done, self._part, total)


class HeadReport:
    """Appends an event for each epoch or strength; those of short ones several at a time."""

    def __init__(
        self, events: EventLog, training_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events = events
        self._training_id = training_id
        self._clock = clock
        self._pending: list[Event] = []
        self._next = 0.0

    def __call__(self, event: EpochEvent | StrengthEvent | TuneEpochEvent) -> None:
        self._pending.append(event)
        now = self._clock()
        if now >= self._next:
            self._next = now + REPORT_INTERVAL
            self.flush()

    def flush(self) -> None:
        """Append what is still to be appended."""
        self._events.append(self._training_id, self._pending)
        self._pending = []


def _load(file: Path) -> Counts | None:
    try:
        return Counts.model_validate_json(read_small(file, MOST_BYTES))
    except ValidationError:
        return None
    except OSError as error:
        if is_fault_of_the_file(error):
            return None
        raise
