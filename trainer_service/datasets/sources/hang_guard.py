"""Ends a reading that hangs in the system, as on a share whose server is gone.

Nothing ends a system call that does not return. So who waits for the reading looks here, and if
need be goes on without it; its thread stays behind and ends by itself once the call returns.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Generic, TypeVar, cast

from shared.logs import get_logger
from trainer_service.store.files.lease import LeaseLost

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL_SECONDS = 0.3
#: A reading that is to end has so long to do it and to clean up before it is left behind.
GRACE_SECONDS = 5.0

#: A file server that restarts, or a tape, may keep one call waiting for minutes.
SECONDS = 300.0

log = get_logger(__name__)


class Abandoned(LeaseLost):
    """Nobody waits for this reading any more: another may be at the same dataset."""


class Stopped(Exception):
    """Whoever waits for this reading wants it to end."""


class HangGuard:
    """Which system call a reading is in just now, and whether the reading is to go on.

    Args:
        seconds: for so long may one call take.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._busy: tuple[float, str] | None = None
        self._ended: type[Exception] | None = None

    @contextmanager
    def system_call(self, what: str) -> Iterator[None]:
        """Enclose a system call that may hang; `what` is the file that it is about."""
        self.check()
        self._busy = (time.monotonic(), what)
        try:
            yield
        finally:
            self._busy = None

    def each(self, what: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield what the system lists about `what`."""
        iterator = iter(items)
        while True:
            with self.system_call(what):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def check(self) -> None:
        """Raise Stopped or Abandoned if the reading is to end."""
        if self._ended is not None:
            raise self._ended

    def stop(self) -> None:
        self._ended = Stopped

    def abandon(self) -> None:
        self._ended = Abandoned

    def raise_if_hanging(self) -> None:
        """Raise OSError if the system keeps the reading waiting for too long."""
        busy = self._busy
        if busy is not None and time.monotonic() - busy[0] > self._seconds:
            reason = f"The system did not respond for {self._seconds:.0f} seconds"
            raise OSError(errno.ETIMEDOUT, reason, busy[1])


def run_guarded(
    work: Callable[[], Result], hang_guard: HangGuard, waiting: Callable[[], None]
) -> Result:
    """Do work in a thread of its own, which is left behind if it hangs, and return its result.

    Args:
        work: what it does asks `hang_guard` before it waits for the system.
        hang_guard: of this piece of work alone.
        waiting: called again and again; what it raises ends the work.

    Raises:
        OSError: the system kept it waiting for too long.
        Exception: what the work or `waiting` has raised.
    """
    thread = _Thread(work)
    try:
        while not thread.ended.wait(POLL_SECONDS):
            waiting()
            hang_guard.raise_if_hanging()
    except BaseException as error:
        hang_guard.stop()
        if not thread.ended.wait(GRACE_SECONDS):
            hang_guard.abandon()
            log.warning("a reading that hangs is left behind", reason=str(error))
        raise
    return thread.result()


class _Thread(Generic[Result]):
    """Work in a daemon thread, which keeps no process from ending."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self.ended = threading.Event()
        self._work = work
        self._result: Result | None = None
        self._error: BaseException | None = None
        run = copy_context().run
        threading.Thread(target=run, args=(self._run,), name="reading", daemon=True).start()

    def result(self) -> Result:
        """Return what the work has returned, or raise what it has raised."""
        if self._error is not None:
            raise self._error
        return cast(Result, self._result)

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        finally:
            self.ended.set()
