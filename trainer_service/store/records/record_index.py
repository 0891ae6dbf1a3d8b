"""An index of the records in memory, so that only records that have changed are read again."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from shared.documents import reason
from shared.errors import HeadstartError, NotFound
from shared.identifiers import is_id
from trainer_service.errors import RecordCorrupt
from trainer_service.store.files.small_files import concerns_one_file, is_gone
from trainer_service.store.records.parts import Brief

#: Inode, size, mtime and ctime of a file. Any change of the file changes at least one of them.
Stamp = tuple[int, int, int, int]


class Known(NamedTuple):
    """The summary of a record when it was last read, or the error of reading it.

    Attributes:
        stamp: the stamp of the file then; None if reading has to be tried again.
        found: the summary or the error.
    """

    stamp: Stamp | None
    found: Brief | HeadstartError


def stamp_of(file: Path | str) -> Stamp:
    status = os.stat(file)  # noqa: PTH116 - with thousands of files, a Path costs more than a stat
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class RecordIndex:
    """The summaries of all records of one kind.

    Args:
        root: the directory of the records' directories.
        name: the name of the file in each of them.
        load: reads a file and returns its summary.
    """

    def __init__(self, root: Path, name: str, load: Callable[[Path], Brief]) -> None:
        self._root = root
        self._name = name
        self._load = load
        self._known: dict[str, Known] = {}
        self._lock = Lock()

    def refresh(self) -> dict[str, Brief | HeadstartError]:
        """Read the records that have changed, and return all.

        Returns:
            By the id of each record, its summary or the error of reading it.
        """
        with self._lock:
            found = {name: self._refresh_one(name) for name in self._names()}
            self._known = {name: known for name, known in found.items() if known is not None}
            return {name: known.found for name, known in self._known.items()}

    def _names(self) -> Iterator[str]:
        try:
            with os.scandir(self._root) as entries:
                yield from [entry.name for entry in entries if is_id(entry.name)]
        except FileNotFoundError:
            return

    def _refresh_one(self, name: str) -> Known | None:
        """Return the summary of a record, or None if the record is gone."""
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
        except HeadstartError as error:  # it may pass, so reading is tried again next time
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
