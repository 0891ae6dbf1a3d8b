"""Leases: who works on something in the store, for as long as they live.

A lease is a file that its holder keeps locked and touches every second. The kernel frees the lock
when the holder dies. The heartbeat tells of a holder that can't be asked: its host has vanished
and the file server keeps its lock, or it hangs.
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
#: Looking at a lease shares its lock for an instant; whoever wants to hold it tries again.
PATIENCE_SECONDS = 10.0
TRY_SECONDS = 0.02
#: A lease is one short line; whatever else lies there is not read as a whole.
MOST_CHARACTERS = 4096

log = get_logger(__name__)


class LeaseLost(Exception):
    """Somebody else has taken over; what they do must not be disturbed."""


class WorkersDied(HeadstartError):
    title = "Workers died"


class Holder(BaseModel):
    """The holder of a lease, written into it for people who look for a fault."""

    host: str
    pid: int
    deaths: int


class Lease:
    """A lease that this process holds.

    Attributes:
        deaths: how many holders before this one died holding it.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.deaths = 0
        self._path = path
        self._file = file

    def sign(self) -> None:
        """Write who holds it, if the disk has room, and count who died holding it.

        Those left their names.
        """
        self._file.seek(0)
        with suppress(ValidationError):
            self.deaths = Holder.model_validate_json(self._file.read(MOST_CHARACTERS)).deaths + 1
        self._file.truncate(0)
        holder = Holder(host=socket.gethostname(), pid=os.getpid(), deaths=self.deaths)
        try:
            # Not through the file's buffer, which would try again to write it when it is closed.
            os.write(self._file.fileno(), holder.model_dump_json().encode())
        except OSError as error:
            log.warning("a lease could not be signed", lease=str(self._path), reason=str(error))

    def raise_if_lost(self) -> None:
        """Raise LeaseLost if the lease was taken over, as from a process that hung for long."""
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

    Yields None if another process holds it, if what it is about has been removed, or if something
    lies there that can't be opened: that counts as held until a `LeaseWatch` has replaced it.
    """
    file = _lock(path)
    if file is None:
        yield None
        return
    with file:
        held = Lease(path, file)
        try:
            held.sign()
            with _heartbeat(held):
                yield held
        finally:
            held.release()


def require_survivable(held: Lease) -> None:
    """Raise WorkersDied if too many have died of this piece of work to try it once more."""
    if held.deaths >= MAX_DEATHS:
        raise WorkersDied(
            f"{held.deaths} worker processes died of it, one after the other. Most often they run "
            "out of memory: see the workers' and the system's log."
        )


class LeaseWatch:
    """Tells leases that are held from those whose holder is gone.

    It has to see a lease for a while to find that its heart has stopped, and trusts no clock of
    another host: keep one for as long as the process lives.

    Args:
        seconds: without a heartbeat, after which a holder is taken for gone.
        clock: seconds that only grow.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[Path, tuple[tuple[int, int], float]] = {}

    def held(self, path: Path) -> bool:
        """Return whether a living process holds the lease; one that hangs loses it by this.

        So does one that can't be opened, as nobody can tell whose it is.
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
        """Forget the leases that were released."""
        self._last = {path: seen for path, seen in self._last.items() if os.path.lexists(path)}

    def _unopened(self, path: Path, error: OSError) -> bool:
        if self._beats(path, path.stat(follow_symlinks=False)):
            return True
        if path.is_dir():
            path.rename(path.with_name(f"{path.name}.unusable-{secrets.token_hex(4)}"))
        self._replace(path, f"{type(error).__name__}: {error}")
        return False

    def _beats(self, path: Path, status: os.stat_result) -> bool:
        """Return whether a lease moved within the lease's seconds, or was not watched that long."""
        now, beat = self._clock(), (status.st_ino, status.st_mtime_ns)
        last, since = self._last.get(path, (None, now))
        if beat != last:
            self._last[path] = (beat, now)
        return beat != last or now - since < self._seconds

    def _replace(self, path: Path, holder: str) -> None:
        """Put a new file there, which nobody has locked."""
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
        # By chance, so as not to keep step with whoever looks.
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
