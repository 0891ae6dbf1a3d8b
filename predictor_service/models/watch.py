"""Watches a version in its first minutes: whether it answers, and as it did in training."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.errors import VersionCorrupt
from shared.logs import get_logger

log = get_logger(__name__)

#: So many failed batches or answers are the version's fault, even if the golden images are right.
MOST_FAILURES = 3
#: Seconds between two looks at the failures.
LOOK_SECONDS = 0.2
#: Seconds between two tries of the golden images, or a fifth of the watch if that is less.
GOLDEN_SECONDS = 60.0


@dataclass(slots=True)
class Trial:
    """How a version has done since it was loaded; threads of the engine count in it.

    Attributes:
        failures: how many batches its engine failed, and how many answers were no probabilities.
        reason: the last of these failures.
    """

    failures: int = 0
    reason: str = ""

    def fail(self, error: Exception) -> None:
        """Count a failure, unless it is about the machine."""
        if not isinstance(error, OSError | MemoryError):
            self.failures += 1
            self.reason = f"{type(error).__name__}: {error}"


async def found_wrong(
    trial: Trial,
    check: Callable[[], Awaitable[None]],
    is_served: Callable[[], bool],
    seconds: float,
) -> str | None:
    """Watch a version, and return what is wrong with it once that is clear; None if nothing is.

    Args:
        trial: how it does.
        check: answers the golden images once more; it raises VersionCorrupt if the answers are
            others than in training.
        is_served: whether the version is still served; the watch ends with that.
        seconds: how long to watch.
    """
    started, seen = time.monotonic(), 0
    every = min(GOLDEN_SECONDS, seconds / 5)
    next_check = started + every
    while is_served() and time.monotonic() < started + seconds:
        await asyncio.sleep(min(LOOK_SECONDS, every))
        if trial.failures >= MOST_FAILURES:
            return f"{trial.failures} times, its network failed ({trial.reason})"
        if trial.failures == seen and time.monotonic() < next_check:
            continue
        seen, next_check = trial.failures, time.monotonic() + every
        try:
            await check()
        except Exception as error:  # noqa: BLE001 - else nothing is known of the version
            if isinstance(error, VersionCorrupt) and error.fault == "answers":
                return error.detail.removesuffix(".")
            log.info("the golden images can't be answered now", reason=str(error))
    return None
