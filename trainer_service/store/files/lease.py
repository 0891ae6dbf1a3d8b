"""Leases: the exclusive right of a process to work on something in the store while it lives.

A lease is a file that its holder keeps locked (`flock`) and touches every second. The kernel
releases the lock when the holder dies. The heartbeat covers the other cases: the holder's host has
vanished and the file server still keeps its lock, or the holder hangs.
"""

import fcntl
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from shared.errors import HeadstartError
from shared.files import atomic_write, is_current, is_fault_of_the_file, try_lock
from shared.logs import get_logger

BEAT_SECONDS = 1.0
MAX_DEATHS = 10
#: Checking a lease takes a shared lock for a moment, so acquiring one is retried for this long.
PATIENCE_SECONDS = 10.0
TRY_SECONDS = 0.02
#: A lease is one short line; of anything larger in its place only this much is read.
MOST_CHARACTERS = 4096

log = get_logger(__name__)


class LeaseLost(Exception):
    """Another process has taken the lease over; this one must stop without writing anything."""


class WorkersDied(HeadstartError):
    """Too many worker processes died, one after the other, on the same piece of work."""

    title = "Workers died"


class Holder(BaseModel):
    """The content of a lease file: who holds it, for debugging, and how many holders died."""

    host: str
    pid: int
    deaths: int


class Lease:
    """A lease that this process holds.

    Attributes:
        deaths: how many holders in a row, before this one, died while they held it.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.deaths = 0
        self._path = path
        self._file = file

    def write_holder(self) -> None:
        """Write this process into the lease, and count an earlier holder that is still in it.

        A holder that ends in order removes the file, so a holder found in it has died. Without
        space on the disk nothing is written, and the lease is valid all the same.
        """
        self._file.seek(0)
        with suppress(ValidationError):
            self.deaths = Holder.model_validate_json(self._file.read(MOST_CHARACTERS)).deaths + 1
        self._file.truncate(0)
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), deaths=self.deaths)
        try:
            # Unbuffered: a buffered file would try to write again, and fail again, when closed.
            os.write(self._file.fileno(), holder.model_dump_json().encode())
        except OSError as error:
            log.warning("a lease could not be signed", lease=str(self._path), reason=str(error))

    def raise_if_lost(self) -> None:
        """Raise LeaseLost if another process has taken over, e.g. because this one hung."""
        if not is_current(self._file, self._path):
            raise LeaseLost(f"{self._path} was taken over.")

    def beat(self) -> None:
        os.utime(self._file.fileno())

    def release(self) -> None:
        if is_current(self._file, self._path):
            self._path.unlink(missing_ok=True)


@contextmanager
def lease(path: Path) -> Iterator[Lease | None]:
    """Hold the lease `path` while the body runs.

    Yields None if another process holds it, if the directory of the lease is gone, or if `path` is
    something that can't be opened, such as a directory. That counts as held until a `LeaseWatch`
    has replaced it.
    """
    file = _lock(path)
    if file is None:
        yield None
        return
    with file:
        held = Lease(path, file)
        try:
            held.write_holder()
            with _heartbeat(held):
                yield held
        finally:
            held.release()


def require_survivable(held: Lease) -> None:
    """Raise WorkersDied if `MAX_DEATHS` processes in a row died while they held the lease."""
    if held.deaths >= MAX_DEATHS:
        raise WorkersDied(
            f"{held.deaths} worker processes in a row died while they worked on it. The usual "
            "reason is a lack of memory: see the logs of the workers and of the system."
        )


class LeaseWatch:
    """Detects leases whose holder has died, hangs, or was on a host that has vanished.

    It compares what it saw of a lease at different times by its own clock, as the clocks of other
    hosts may be wrong. So keep one instance for the lifetime of the process.

    Args:
        seconds: time without a heartbeat after which a holder counts as gone.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[Path, tuple[tuple[int, int], float]] = {}

    def held(self, path: Path) -> bool:
        """Return whether a living process holds the lease.

        A lease without a heartbeat for `seconds` is taken away from its holder by this call: the
        file is replaced by a new one that nobody has locked. The same is done with a lease that
        can't be opened.
        """
        try:
            file = path.open("r+", errors="replace")
        except FileNotFoundError:
            self._last.pop(path, None)
            return False
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            return self._unopened(path, error)
        with file:
            if try_lock(file, fcntl.LOCK_SH):
                self._last.pop(path, None)
                return False
            if self._beats(path, os.fstat(file.fileno())) or not is_current(file, path):
                return True
            self._replace(path, file.read(MOST_CHARACTERS))
        return False

    def prune(self) -> None:
        """Forget the leases whose files are gone."""
        self._last = {path: seen for path, seen in self._last.items() if os.path.lexists(path)}

    def _unopened(self, path: Path, error: OSError) -> bool:
        if self._beats(path, path.stat(follow_symlinks=False)):
            return True
        if path.is_dir():
            path.rename(path.with_name(f"{path.name}.unusable-{secrets.token_hex(4)}"))
        self._replace(path, f"{type(error).__name__}: {error}")
        return False

    def _beats(self, path: Path, status: os.stat_result) -> bool:
        """Return whether there was a heartbeat in the last `seconds`, or it is too early to say."""
        now, beat = self._clock(), (status.st_ino, status.st_mtime_ns)
        last, since = self._last.get(path, (None, now))
        if beat != last:
            self._last[path] = (beat, now)
        return beat != last or now - since < self._seconds

    def _replace(self, path: Path, holder: str) -> None:
        """Replace the lease by a new file, which nobody has locked."""
        log.warning("a lease has not moved", lease=str(path), seconds=self._seconds, holder=holder)
        atomic_write(path, holder.encode())
        self._last.pop(path, None)


def _lock(path: Path) -> IO[str] | None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            file = path.open("a+", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            if is_fault_of_the_file(error) and os.path.lexists(path):
                return None
            raise
        if try_lock(file):
            if is_current(file, path):
                return file
        elif not try_lock(file, fcntl.LOCK_SH):
            file.close()
            return None
        file.close()
        # A random pause, so as not to collide with the same reader each time.
        time.sleep(random.uniform(0, TRY_SECONDS))
    return None


@contextmanager
def _heartbeat(held: Lease) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(
        target=copy_context().run, args=(_beat, held, ended), name="heartbeat", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(held: Lease, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            held.beat()
        except OSError:
            log.warning("a lease could not be renewed", exc_info=True)
