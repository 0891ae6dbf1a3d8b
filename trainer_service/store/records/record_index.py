"""What is kept in memory of the records, so that only those that have changed are read again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from shared.documents import reason
from shared.errors import HeadstartError, NotFound
from shared.identifiers import is_id
from trainer_service.errors import RecordCorrupt
from trainer_service.store.records.parts import Brief
from trainer_service.store.small_files import concerns_one_file, is_gone

#: Inode, size, and the times of its content and of itself: whatever changes a file changes one.
Stamp = tuple[int, int, int, int]


class Known(NamedTuple):
    """A record as it was when it was read, or what keeps it from being read."""

    stamp: Stamp | None
    found: Brief | HeadstartError


def stamp_of(file: Path | str) -> Stamp:
    status = os.stat(file)  # noqa: PTH116 - of thousands, a Path for each costs more than looking
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class RecordIndex:
    """The records of one kind in short; those that are deleted are forgotten.

    Args:
        root: where the directories of the records lie.
        name: what their files are called.
        load: reads one.
    """

    def __init__(self, root: Path, name: str, load: Callable[[Path], Brief]) -> None:
        self._root = root
        self._name = name
        self._load = load
        self._known: dict[str, Known] = {}
        self._lock = Lock()

    def look(self) -> dict[str, Brief | HeadstartError]:
        """Return each record as it is now, by its id, or the error of reading it."""
        with self._lock:
            found = {name: self._look_at(name) for name in self._names()}
            self._known = {name: known for name, known in found.items() if known is not None}
            return {name: known.found for name, known in self._known.items()}

    def _names(self) -> Iterator[str]:
        try:
            with os.scandir(self._root) as entries:
                yield from [entry.name for entry in entries if is_id(entry.name)]
        except FileNotFoundError:
            return

    def _look_at(self, name: str) -> Known | None:
        """Return the brief of a record, or None if the record is gone."""
        file = f"{self._root}/{name}/{self._name}"
        try:
            stamp = stamp_of(file)
            known = self._known.get(name)
            if known is not None and known.stamp == stamp:
                return known
            return Known(stamp, self._load(Path(file)))
        except NotFound:
            return None
        except RecordCorrupt as corrupt:
            return Known(stamp, corrupt)
        except HeadstartError as error:  # so for now: it is tried again
            return Known(None, error)
        except OSError as error:
            return self._unreachable(Path(file), error)

    def _unreachable(self, file: Path, error: OSError) -> Known | None:
        if is_gone(error):
            return None
        if not concerns_one_file(error):
            raise error
        name = file.relative_to(self._root.parent)
        return Known(None, RecordCorrupt(f"{name} can't be read: {reason(error)}."))
