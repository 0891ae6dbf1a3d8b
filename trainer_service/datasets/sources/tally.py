"""How many files and bytes a source may hold."""

from shared.errors import TooLarge
from trainer_service.datasets.records import DatasetLimits


class Tally:
    """Counts the files and bytes of a source against its limits."""

    def __init__(self, limits: DatasetLimits) -> None:
        self.limits = limits
        self.files = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count a file of `size` bytes.

        Raises:
            TooLarge: it is one too many, or there are too many bytes with it.
        """
        self.files += 1
        self.bytes += max(size, 0)
        if self.files > self.limits.max_files:
            raise too_many_files(self.limits)
        if self.bytes > self.limits.max_bytes:
            raise too_many_bytes(self.limits)


def too_many_files(limits: DatasetLimits) -> TooLarge:
    """Return the error for a source with too many files."""
    return TooLarge(
        "The dataset has more files than HEADSTART_MAX_DATASET_FILES allows. "
        f"Expected at most {limits.max_files}"
    )


def too_many_bytes(limits: DatasetLimits) -> TooLarge:
    """Return the error for a source with too many bytes."""
    return TooLarge(
        "The dataset is larger, unpacked, than HEADSTART_MAX_DATASET_BYTES allows. "
        f"Expected at most {limits.max_bytes} bytes"
    )
