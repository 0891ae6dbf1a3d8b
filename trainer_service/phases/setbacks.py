"""Steps that fail because of the machine, and not because of the training: they are tried again.

A worker tries a step a few times, with pauses. If that does not help it notes the reason, puts the
step back on the queue and pauses itself, so that another worker takes the step. The training fails
only when every running worker has given the step up a few times.

    trainings/<id>/shards/setbacks/<worker>.json    what a worker could not do, and how often
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, Field, ValidationError
from redis import RedisError

from shared.documents import read_small
from shared.errors import HeadstartError, Unavailable
from shared.files import atomic_write, is_disk_full, is_of_the_machine
from shared.logs import get_logger
from trainer_service.errors import Setback, TransientFailure
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import Step
from trainer_service.queue.view import QueueView
from trainer_service.store.events.event_log import connect
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.outcome import in_words
from trainer_service.store.stores import SHARDS

#: Seconds before a step is tried again in place; then it is handed over to the next worker.
PAUSES = (0.5, 1.0, 2.0)
#: How often each worker gives up steps of a training before the training fails.
MOST_TRIES = 5
#: Seconds for which a worker leaves the queue to others once it has given a step up: twice as many
#: each time, up to the last. A worker that is asked to stop has more time than that.
FIRST_PAUSE, LAST_PAUSE = 2.0, 8.0

POLL_SECONDS = 0.1
MOST_BYTES = 2**20

log = get_logger(__name__)


class Note(BaseModel):
    """How often a worker has given up steps of a training or a dataset, and why the last time."""

    worker: str
    tries: int = Field(ge=0)
    reason: str


class Setbacks:
    """The notes of all workers about one training or dataset.

    Args:
        directory: where the notes are kept; they are removed together with it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "setbacks"

    def add(self, worker: str, reason: str) -> list[Note]:
        """Note that a worker has given a step up, and return the notes of all workers.

        Raises:
            FileNotFoundError: the training or dataset was removed.
        """
        note = Note(worker=worker, tries=self.tries(worker) + 1, reason=reason)
        kept_in = self._directory.parent
        if kept_in.name == SHARDS:  # which are there only once the training is planned
            kept_in.mkdir(exist_ok=True)
        self._directory.mkdir(exist_ok=True)
        atomic_write(self._file(worker), note.model_dump_json().encode())
        return self.notes()

    def tries(self, worker: str) -> int:
        """Return how often a worker has given up since it last completed a step."""
        return sum(note.tries for note in _read(self._file(worker)))

    def forget(self, worker: str) -> None:
        """Remove the note of a worker that has completed a step."""
        self._file(worker).unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Remove all notes, so that every worker has all its tries again."""
        with suppress(OSError):
            remove_tree(self._directory)

    def notes(self) -> list[Note]:
        """Return the notes of all workers; damaged ones are left out."""
        return [note for file in sorted(self._directory.glob("*.json")) for note in _read(file)]

    def _file(self, worker: str) -> Path:
        return self._directory / f"{worker}.json"


class Job(Protocol):
    """A step that is worth more than one try: a `Work`, or the reading of a dataset."""

    @property
    def worker(self) -> Worker:
        """The process that does it."""

    @property
    def step(self) -> Step:
        """What goes back on the queue."""

    @property
    def notes_directory(self) -> Path:
        """Where `Setbacks` are noted."""

    @property
    def check_cancelled(self) -> Callable[[], None]:
        """What raises TrainingCancelled once nobody wants the step done."""

    def warn(self, reason: str) -> None:
        """Tell whoever waits for the step why it is tried again."""


def persevere(job: Job, do: Callable[[], None]) -> bool:
    """Do a step, and try again if the machine fails it.

    Args:
        job: the step. `check_cancelled` is called again and again during the pauses.
        do: does the step; it may be called several times.

    Returns:
        True when the step is done. False if it failed every time: then release its lease and call
        `hand_over`.

    Raises:
        TransientFailure: every running worker has used up its tries.
        Exception: whatever `do` raises that is not the machine's fault.
    """
    setbacks = Setbacks(job.notes_directory)
    reason = _attempt_and_warn(job, do)
    # A worker that has tried in vain before leaves the step to others at once.
    for pause in () if setbacks.tries(this_worker()) else PAUSES:
        if reason is not None:
            log.info("tried again", reason=reason, seconds=pause)
            _wait(pause, job.check_cancelled)
            reason = _attempt_and_warn(job, do)
    if reason is None:
        with suppress(OSError):  # the step is done in any case
            setbacks.forget(this_worker())
        return True
    _give_up(job.worker, setbacks, reason)
    return False


def hand_over(job: Job) -> None:
    """Put a step back on the queue and pause, so that another worker takes it.

    The pause ends when nobody wants the step any more.

    Args:
        job: the step, whose lease has been released.
    """
    tries = Setbacks(job.notes_directory).tries(this_worker())
    job.worker.queue.submit([job.step])
    with suppress(HeadstartError):
        _wait(min(LAST_PAUSE, FIRST_PAUSE * 2 ** max(0, tries - 1)), job.check_cancelled)


def _attempt(do: Callable[[], None]) -> str | None:
    """Do something; return why the machine failed it, or None if it is done."""
    try:
        do()
    except Exception as error:
        if is_setback(error):
            return in_words(error)
        raise
    return None


def _attempt_and_warn(job: Job, do: Callable[[], None]) -> str | None:
    reason = _attempt(do)
    if reason is not None:
        with suppress(OSError, HeadstartError):  # the log has the reason, too
            job.warn(reason)
    return reason


def is_setback(error: Exception) -> bool:
    """Return whether an error comes from the machine and may be gone at the next try.

    A full disk is no setback: it stays full until somebody makes room. Where a training would lose
    what it has tuned, the phase raises `Setback` itself.
    """
    if isinstance(error, Setback | Unavailable):
        return True
    return is_of_the_machine(error) and not is_disk_full(error)


def this_worker() -> str:
    """Return the name under which the worker of this process is known to the others."""
    # The parent process signs in, its child does the steps.
    return f"{socket.gethostname()}:{os.getppid()}"


def _give_up(worker: Worker, setbacks: Setbacks, reason: str) -> None:
    """Note that this worker leaves the step to another one.

    Raises:
        TransientFailure: every running worker has used up its tries.
    """
    notes: list[Note] = []
    # If the machine also fails the note, this try does not count.
    _attempt(lambda: notes.extend(setbacks.add(this_worker(), reason)))
    log.warning("handed over to the next worker", reason=reason)
    tried = {note.worker for note in notes if note.tries >= MOST_TRIES}
    if this_worker() not in tried or not tried.issuperset(_running(worker)):
        return
    said = "; ".join(f"{note.worker}: {note.reason.rstrip('.')}" for note in notes)
    raise TransientFailure(
        f"Every running worker has tried it {MOST_TRIES} times or more. The reasons: {said}. "
        "Once these are fixed, submit it again."
    )


def _running(worker: Worker) -> list[str]:
    """Return the names of the running workers; while Redis is away, a name that has no tries."""
    try:
        return QueueView(connect(worker.settings.redis_url)).workers()
    except RedisError:
        return ["unknown"]


def _wait(seconds: float, check_cancelled: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _attempt(check_cancelled)  # if the machine fails this check, the pause goes on
        time.sleep(POLL_SECONDS)


def _read(file: Path) -> list[Note]:
    """Return the note in a file as a list of one, which is empty if it is gone or damaged."""
    try:
        return [Note.model_validate_json(read_small(file, MOST_BYTES))]
    except (OSError, ValidationError):
        return []
