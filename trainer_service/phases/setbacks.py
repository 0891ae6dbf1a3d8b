"""What is no fault of a training but of the machine, right now: tried again, by others as well.

A worker tries a step a few times in place, with pauses. If that does not help it notes so, puts the
step back on the queue and pauses itself, so that another takes it. The training fails only when
every worker that runs has let go of its steps a few times.

    trainings/<id>/shards/setbacks/<worker>.json    what a worker could not do, and how often
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from redis import RedisError

from shared.errors import HeadstartError, Unavailable
from shared.files import atomic_write, is_disk_full, is_of_the_machine
from shared.logs import get_logger
from trainer_service.errors import Setback, TransientFailure
from trainer_service.phases.context import Worker
from trainer_service.queue.view import QueueView
from trainer_service.steps import Step
from trainer_service.store.events.event_log import connect
from trainer_service.store.events.events import WarningEvent
from trainer_service.store.outcome import in_words
from trainer_service.store.removal import remove_tree
from trainer_service.store.small_files import read_small

#: Seconds before a step is tried again in place; then it is handed over to the next worker.
PAUSES = (0.5, 1.0, 2.0)
#: How often each worker lets go of steps of one training before that is given up.
MOST_TRIES = 5
#: Seconds for which a worker leaves the queue to others once it has let go: twice as many each
#: time, up to the last. Less than a worker that is to end is given.
FIRST_PAUSE, LAST_PAUSE = 2.0, 8.0

POLL_SECONDS = 0.1
MOST_BYTES = 2**20

log = get_logger(__name__)


class Note(BaseModel):
    worker: str
    tries: int = Field(ge=0)
    reason: str


class Setbacks:
    """Who has let go of steps of one piece of work, how often, and why; in a directory of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "setbacks"

    def add(self, worker: str, reason: str) -> list[Note]:
        """Note that a worker has let go of a step, and return what all have noted."""
        note = Note(worker=worker, tries=self.tries(worker) + 1, reason=reason)
        self._directory.mkdir(parents=True, exist_ok=True)
        atomic_write(self._file(worker), note.model_dump_json().encode())
        return self.notes()

    def tries(self, worker: str) -> int:
        """Return how often a worker has let go since it has last done a step."""
        return sum(note.tries for note in _read(self._file(worker)))

    def forget(self, worker: str) -> None:
        self._file(worker).unlink(missing_ok=True)

    def forget_all(self) -> None:
        with suppress(OSError):
            remove_tree(self._directory)

    def notes(self) -> list[Note]:
        return [note for file in sorted(self._directory.glob("*.json")) for note in _read(file)]

    def _file(self, worker: str) -> Path:
        return self._directory / f"{worker}.json"


def persevere(
    worker: Worker,
    directory: Path,
    check_cancelled: Callable[[], None],
    work: Callable[[], None],
    tell: Callable[[str], None] = lambda _: None,
) -> bool:
    """Do a step; what the machine does to it is waited out. Tell whether it was done.

    If it was not, `hand_over` is called once what the step holds is let go of.

    Args:
        worker: who does it.
        directory: where it is noted; it goes with what the step is about.
        check_cancelled: called again and again in the pauses; what it raises ends them.
        work: the step, which may be done again from its beginning.
        tell: called with each reason for which the step is tried again.

    Raises:
        TransientFailure: every worker that runs has had its tries.
    """
    setbacks = Setbacks(directory)
    reason = _attempt_and_tell(work, tell)
    # Whoever has waited in vain before leaves it to others at once.
    for pause in () if setbacks.tries(this_worker()) else PAUSES:
        if reason is not None:
            log.info("tried again", reason=reason, seconds=pause)
            _wait(pause, check_cancelled)
            reason = _attempt_and_tell(work, tell)
    if reason is None:
        with suppress(OSError):  # what is done is done
            setbacks.forget(this_worker())
        return True
    _let_go(worker, setbacks, reason)
    return False


def warn_of_setback(worker: Worker, training_id: str, reason: str) -> None:
    """Add an event that says why a step is tried again; each reason is added once."""
    warning = WarningEvent(code="tried_again", detail=f"A step is tried again: {reason}")
    worker.stores.events.append_once(training_id, warning)


def hand_over(
    worker: Worker, directory: Path, step: Step, check_cancelled: Callable[[], None]
) -> None:
    """Put a step back on the queue and pause, so that another worker takes it.

    Args:
        worker: who could not do it.
        directory: where that is noted.
        step: what nobody holds any more.
        check_cancelled: called again and again; what it raises ends the pause.
    """
    tries = Setbacks(directory).tries(this_worker())
    worker.submit.submit([step])
    with suppress(HeadstartError):
        _wait(min(LAST_PAUSE, FIRST_PAUSE * 2 ** max(0, tries - 1)), check_cancelled)


def _attempt(work: Callable[[], None]) -> str | None:
    """Do the work, or return what the machine did to it."""
    try:
        work()
    except Exception as error:
        if is_setback(error):
            return in_words(error)
        raise
    return None


def _attempt_and_tell(work: Callable[[], None], tell: Callable[[str], None]) -> str | None:
    reason = _attempt(work)
    if reason is not None:
        with suppress(OSError, HeadstartError):  # the log has the reason, too
            tell(reason)
    return reason


def is_setback(error: Exception) -> bool:
    """Return whether an error says something of the machine right now, not of what is worked on.

    A full disk does, too, but stays full until somebody makes room.
    """
    if isinstance(error, Setback | Unavailable):
        return True
    return is_of_the_machine(error) and not is_disk_full(error)


def this_worker() -> str:
    """Return the name that this process's worker has signed in with."""
    # The parent process signs in, its child does the steps.
    return f"{socket.gethostname()}:{os.getppid()}"


def _let_go(worker: Worker, setbacks: Setbacks, reason: str) -> None:
    """Leave the step to the next worker.

    Raises:
        TransientFailure: every running worker has used up its tries.
    """
    notes: list[Note] = []
    # What keeps it from being noted is the machine's fault, too: this try does not count.
    _attempt(lambda: notes.extend(setbacks.add(this_worker(), reason)))
    log.warning("handed over to the next worker", reason=reason)
    tried = {note.worker for note in notes if note.tries >= MOST_TRIES}
    if this_worker() not in tried or not tried.issuperset(_running(worker)):
        return
    said = "; ".join(f"{note.worker}: {note.reason.rstrip('.')}" for note in notes)
    raise TransientFailure(
        f"Every worker that runs has tried it {MOST_TRIES} times or more. What kept them: {said}. "
        "Once that is mended, submit it again."
    )


def _running(worker: Worker) -> list[str]:
    """Return the workers that run; while Redis is away, one that has had no tries yet."""
    try:
        return QueueView(connect(worker.settings.redis_url)).workers()
    except RedisError:
        return ["unknown"]


def _wait(seconds: float, check_cancelled: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _attempt(check_cancelled)  # that it can't look just now is no reason to end
        time.sleep(POLL_SECONDS)


def _read(file: Path) -> list[Note]:
    """Return the note in a file, or none if it is gone or can't be understood."""
    try:
        return [Note.model_validate_json(read_small(file, MOST_BYTES))]
    except (OSError, ValidationError):
        return []
