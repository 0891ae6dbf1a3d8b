"""Restarts processes that end, and gives up on one that ends too often."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from client.terminal import print_note
from launcher.errors import LaunchError
from launcher.processes import Process

POLL_SECONDS = 0.2
#: The first wait before a process is restarted; each later wait is twice as long.
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
#: A process that has run for this long counts as healthy.
HEALTHY_SECONDS = 60.0
#: A process that ends this often within that time is given up.
MOST_ENDS = 5


def supervise(
    processes: Iterable[Process],
    window: float = HEALTHY_SECONDS,
    stopped: threading.Event | None = None,
) -> None:
    """Keep every process running, until one is given up or `stopped` is set.

    Args:
        processes: the processes to watch; they have been started.
        window: a process that ends `MOST_ENDS` times within this many seconds is given up.
        stopped: ends the supervision; without it, only an exception does.

    Raises:
        LaunchError: a process ended too often.
    """
    watched = [Watched(process, window) for process in processes]
    stopped = stopped or threading.Event()
    while not stopped.wait(POLL_SECONDS):
        for each in watched:
            each.check(time.monotonic())


@contextmanager
def supervised(processes: Iterable[Process], window: float) -> Iterator[None]:
    """Keep every process running while the body runs; it is interrupted if one is given up.

    The body has to run in the main thread, which is the only one that a signal interrupts.

    Args:
        processes: the processes to watch; they have been started.
        window: as for `supervise`.

    Raises:
        LaunchError: a process ended too often.
    """
    stopped, reasons = threading.Event(), list[LaunchError]()

    def watch() -> None:
        try:
            supervise(processes, window, stopped)
        except LaunchError as error:
            reasons.append(error)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=watch, name="supervise")
    thread.start()
    try:
        try:
            yield
        finally:
            stopped.set()
            thread.join()
    except KeyboardInterrupt:
        if reasons:
            raise reasons[0] from None
        raise


class Watched:
    """A process that runs, or waits to be restarted.

    Args:
        process: the process; it has been started.
        window: it is given up if it ends `MOST_ENDS` times within this many seconds.
    """

    def __init__(self, process: Process, window: float = HEALTHY_SECONDS) -> None:
        self._process = process
        self._window = window
        self._started = time.monotonic()
        self._ends: list[float] = []
        self._wait = FIRST_WAIT_SECONDS
        self._due: float | None = None

    def check(self, now: float) -> None:
        """Check whether the process has ended, or restart it if its wait is over.

        Args:
            now: the time, in seconds of `time.monotonic`.

        Raises:
            LaunchError: the process ended too often.
        """
        if self._due is None:
            how = self._process.how_it_ended()
            if how is not None:
                self._process.clear()
                self._end(now, f"ended ({how})", self._process.last_words())
        elif now >= self._due:
            self._start(now)

    def _start(self, now: float) -> None:
        self._started, self._due = now, None
        try:
            self._process.start()
        except OSError as error:
            self._end(now, "can't be started", str(error))

    def _end(self, now: float, what: str, words: str) -> None:
        self._ends = [end for end in self._ends if now - end < self._window] + [now]
        if len(self._ends) >= MOST_ENDS:
            raise LaunchError(
                f"{self._process.name} {what}, for the {MOST_ENDS}th time within "
                f"{self._window:g} s, so everything is stopped. Its log ends with: {words}; see "
                f"{self._process.log}."
            )
        if now - self._started >= HEALTHY_SECONDS:
            self._wait = FIRST_WAIT_SECONDS
        print_note(
            f"{self._process.name} {what}; it is restarted in {self._wait:g} s. "
            f"Its log ends with: {words}"
        )
        self._due = now + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT_SECONDS)
