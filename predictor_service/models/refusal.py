"""Why a version could not be loaded, and when it is tried again."""

import math
import re
import time
from dataclasses import dataclass

from predictor_service.models.fingerprint import Fingerprint
from shared.errors import HeadstartError, VersionCorrupt

#: A version that failed because of the machine, not its files, is tried again after this time.
RETRY_SECONDS = 30.0
#: The longest reason, in characters; the names that it quotes may be very long.
MOST_REASON = 1000
#: Lines of an OpenVINO error that only name a place in its code; the message follows them.
_WHERE = re.compile(r"Exception from \S+:\d+:|Check '.*' failed at \S+:\d+:")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that is not used until its files change, or for some time.

    Attributes:
        fingerprint: that of its files then.
        reason: why it is not used.
        retry_at: when it is tried again, on the monotonic clock; infinity unless the machine was at
            fault.
    """

    fingerprint: Fingerprint
    reason: str
    retry_at: float = math.inf

    @classmethod
    def of(cls, error: Exception, before: Fingerprint) -> "Refusal":
        """Return the refusal of a version that could not be loaded.

        Args:
            error: why it could not.
            before: the fingerprint of its files before that was tried.
        """
        of_the_machine = isinstance(error, OSError | MemoryError)
        retry_at = time.monotonic() + RETRY_SECONDS if of_the_machine else math.inf
        return cls(before, describe(error), retry_at)

    def stands(self, now: Fingerprint) -> bool:
        """Return whether the version is still refused, given the fingerprint of its files now."""
        return now == self.fingerprint and time.monotonic() < self.retry_at


def describe(error: Exception) -> str:
    """Return the message of an error as a short text that can be sent and logged."""
    said = str(error).encode(errors="backslashreplace").decode()  # names of files may be no text
    if not isinstance(error, HeadstartError):
        telling = [line for line in said.splitlines() if line.strip() and not _WHERE.match(line)]
        said = f"{type(error).__name__}: {telling[0].strip() if telling else 'no message'}"
    return shortened(said)


def shortened(reason: str) -> str:
    """Return a reason of at most about `MOST_REASON` characters."""
    return reason if len(reason) <= MOST_REASON else f"{reason[:MOST_REASON]} …"


def kind_of(error: Exception) -> str:
    """Return what was wrong with a version: "files", "answers", "machine" or "engine"."""
    if isinstance(error, VersionCorrupt):
        return error.fault
    return "machine" if isinstance(error, OSError | MemoryError) else "engine"
