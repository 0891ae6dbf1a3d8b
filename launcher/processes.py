"""Runs processes that log to files, and that end with the launcher, even if that is killed."""

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
#: How much of the end of a log is read to find its last lines.
TAIL_BYTES = 4096
LONGEST_WORDS = 600


class Guard:
    """A process that ends the services if the launcher is killed."""

    def __enter__(self) -> Self:
        # In a session of its own, so that a signal to the launcher's group does not reach it.
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
        """Report this process's group to the guard; a child calls it before it runs its program.

        If the launcher reported the child after starting it, the launcher could be killed in
        between. Until the child has reported itself, it keeps the guard's stdin open.
        """
        with suppress(OSError):
            self._write(f"+{os.getpid()}\n")

    def ended(self, group: int) -> None:
        """Report that a process group has ended, so that the guard does not end it later."""
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):  # the guard was killed
            self._process.stdin.write(line.encode())


@dataclass
class Process:
    """A command that can be started again once it has ended; it is the leader of its group.

    Attributes:
        command: the program and its arguments.
        environment: all environment variables of the process.
        log: the file that its output goes to; the first start empties it.
        guard: ends the group of the process if the launcher is killed.
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
        """The name of the process, which is that of its log."""
        return self.log.stem

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Start the process, and stop it at the end, even if it was started again meanwhile.

        Raises:
            LaunchError: the log can't be written.
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
        """Start the process, in a session of its own."""
        with self.log.open("ab") as file:
            self._begun = file.tell()
            # In a session of its own: Ctrl-C reaches only the launcher, which stops all in order.
            self.handle = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=self.guard.join,  # noqa: PLW1509 - it takes no lock
            )
        self._is_clear = False

    def clear(self) -> None:
        """Kill what is left of its group, for example the children of a worker that was killed."""
        if self._is_clear:
            return  # another group may have this number by now
        with suppress(ProcessLookupError):
            os.killpg(self.handle.pid, signal.SIGKILL)
        self.guard.ended(self.handle.pid)
        self._is_clear = True

    def how_it_ended(self) -> str | None:
        """Return the exit status or signal of a process that has ended; None while it runs."""
        status = self.handle.poll()
        if status is None:
            return None
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def last_words(self, lines: int = 1) -> str:
        """Return the last lines that the process has logged since it was last started."""
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
            return b""  # the log was removed

    def _stop(self) -> None:
        self.handle.terminate()
        try:
            self.handle.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.clear()
            self.handle.wait()
