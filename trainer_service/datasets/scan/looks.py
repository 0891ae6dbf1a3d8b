"""Keeps what the images of a dataset look like, to find doubles of them among images added later.

<directory>/looks     of each sound image the SHA-256 and the look, 32 and 256 bytes
"""

from collections.abc import Mapping
from pathlib import Path

from shared.files import atomic_writer, open_below
from trainer_service.datasets.records import records_corrupt, records_judged

LOOKS_FILE = "looks"
_HASH, _LOOK = 32, 256
_EACH = _HASH + _LOOK


def save_looks(directory: Path, looks: Mapping[str, bytes]) -> None:
    """Write the look of each image, by its SHA-256; one whose look is empty is left out."""
    with atomic_writer(directory / LOOKS_FILE) as file:
        for sha256, look in looks.items():
            if look:
                file.write(bytes.fromhex(sha256) + look)


def has_looks(directory: Path) -> bool:
    """Return whether the looks of a dataset's images were kept; earlier releases did not."""
    return (directory / LOOKS_FILE).exists()


def load_looks(directory: Path) -> dict[str, bytes]:
    """Return the look of each image of a dataset; none if an earlier release has read it.

    Raises:
        RecordCorrupt: they are damaged.
    """
    try:
        with open_below(directory, LOOKS_FILE) as file:
            data = file.read()
    except FileNotFoundError:
        return {}
    except OSError:
        with records_judged(directory, LOOKS_FILE):
            raise
    if len(data) % _EACH:
        raise records_corrupt(directory, f"it has {len(data)} bytes", LOOKS_FILE)
    starts = range(0, len(data), _EACH)
    return {data[at : at + _HASH].hex(): data[at + _HASH : at + _EACH] for at in starts}
