"""The id of a store, by which programs that share a Redis know whether they share the store.

.store-id    an id, made once
"""

from contextlib import suppress
from pathlib import Path

from shared.documents import read_small
from shared.files import atomic_write, locked_briefly
from shared.identifiers import is_id, new_id

ID_FILE = ".store-id"
MOST_BYTES = 64


def store_id(store: Path) -> str:
    """Return the id of a store; one without an id, or with a damaged one, gets a new one.

    Raises:
        OSError: the id can't be read, or a new one not be written.
    """
    file = store / ID_FILE
    if known := _read(file):
        return known
    with locked_briefly(store / f"{ID_FILE}.lock"):
        if known := _read(file):
            return known
        made = new_id()
        atomic_write(file, made.encode())
    return made


def _read(file: Path) -> str | None:
    """Return the id in a file, or None if it is missing or damaged."""
    with suppress(FileNotFoundError):
        text = read_small(file, MOST_BYTES).decode(errors="replace").strip()
        return text if is_id(text) else None
    return None
