"""Whether the disk has room for what a phase is going to write, before it computes anything."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer_service.errors import TransientFailure

#: Of a number as features and activations are stored, unless it exceeds the range of float16.
NUMBER_BYTES = 2
#: A share of the free space that leaves little for everything else.
MUCH = 0.8

_MB = 10**6


@dataclass(frozen=True, slots=True)
class Demand:
    """What is going to be written.

    Attributes:
        directory: where; it need not exist yet.
        bytes: how many.
        what: what it is, as the beginning of a sentence with a verb in the plural.
        remedy: what takes less, as a sentence.
    """

    directory: Path
    bytes: int
    what: str
    remedy: str

    def require_room(self) -> None:
        """Check that the disk holds it.

        Raises:
            TransientFailure: it does not.
        """
        free = _free(self.directory)
        if self.bytes > free:
            raise TransientFailure(
                f"{self.what} take {megabytes(self.bytes)}. Expected that much room in "
                f"{self.directory}. Received: {megabytes(free)}. {self.remedy}"
            )

    @property
    def warning(self) -> str | None:
        """A sentence for the user, if it takes most of what is free, or more."""
        free = _free(self.directory)
        if self.bytes <= MUCH * free:
            return None
        return (
            f"{self.what} may take {megabytes(self.bytes)}, and {self.directory} has "
            f"{megabytes(free)} left. {self.remedy}"
        )


def bytes_in(directory: Path) -> int:
    """Return how many bytes the files of all spaces take in a directory of features."""
    total = 0
    for file in directory.glob("*/*.npy"):
        with suppress(FileNotFoundError):  # it was removed meanwhile
            total += file.lstat().st_size
    return total


def megabytes(count: int) -> str:
    """Return a number of bytes as a person says it, rounded up: `1,234 MB`."""
    return f"{-(-count // _MB):,} MB"


def _free(directory: Path) -> int:
    """Return how many bytes are free where a directory is, or will be made."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    return shutil.disk_usage(there).free
