"""Processes that log to files and end with the launcher, however that ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from launcher import guard
from launcher.errors import LaunchError

STOP_SECONDS = 10
#: So much of the end of a log is looked at for the last lines in it.
TAIL_BYTES = 4096
LONGEST_WORDS = 600


class Guard:
    """A process that ends the others if this one is killed."""

    def __enter__(self) -> Self:
        # Isolated, and in a session of its own: nothing that ends the launcher ends it too.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def join(self) -> None:
        """Name this process's group; a child calls it before it becomes another program.

        Told by the launcher, once it had started the child, it would be told never if the launcher
        was killed in between. And until the child has told, it holds the guard's stdin open.
        """
        with suppress(OSError):
            self._tell(f"+{os.getpid()}\n")

    def ended(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with suppress(BrokenPipeError):  # somebody has killed the guard
            self._process.stdin.write(line.encode())


@dataclass
class Process:
    """A command that can be started again once it has ended; it is the leader of its group.

    Attributes:
        command: what is run.
        environment: all of it.
        log: where its output goes; the first start empties it.
        guard: is told of its group.
        handle: the process that was started last.
    """

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    guard: Guard
    handle: subprocess.Popen[bytes] = field(init=False)
    _begun: int = field(init=False, default=0)
    _is_clear: bool = field(init=False, default=True)

    @property
    def name(self) -> str:
        return self.log.stem

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start it, and stop whichever process of it runs at the end.

        Raises:
            LaunchError: its log can't be written.
        """
        try:
            self.log.write_bytes(b"")
        except OSError as error:
            raise LaunchError(f"{self.log} can't be written: {error.strerror}.") from None
        self.start()
        try:
            yield self
        finally:
            self._stop()

    def start(self) -> None:
        with self.log.open("ab") as file:
            self._begun = file.tell()
            # A session of its own: Ctrl-C reaches the launcher alone, which stops them in order.
            self.handle = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=self.guard.join,  # noqa: PLW1509 - the launcher has one thread
            )
        self._is_clear = False

    def clear(self) -> None:
        """End what is left of its group, as the child processes of a worker that was killed."""
        if self._is_clear:
            return  # by now the group's number may be another's
        with suppress(ProcessLookupError):
            os.killpg(self.handle.pid, signal.SIGKILL)
        self.guard.ended(self.handle.pid)
        self._is_clear = True

    def how_it_ended(self) -> str | None:
        """Return the exit status, or the signal, of a process that has ended."""
        status = self.handle.poll()
        if status is None:
            return None
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def last_words(self, lines: int = 1) -> str:
        """Return the last lines that the process that was started last has logged."""
        said = self._tail().decode(errors="replace").splitlines()
        words = [line for line in said if line.strip()]
        return " / ".join(words[-lines:])[-LONGEST_WORDS:] or "nothing"

    def _tail(self) -> bytes:
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._begun, size - TAIL_BYTES))
                return file.read()
        except OSError:
            return b""  # somebody has removed it

    def _stop(self) -> None:
        self.handle.terminate()
        try:
            self.handle.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.clear()
            self.handle.wait()
