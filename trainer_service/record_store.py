"""Records that lie in the store as JSON and are changed by one process at a time."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Generic, TypeVar

from shared.errors import HeadstartError
from shared.files import atomic_write
from shared.identifiers import is_id
from trainer_service.schemas import BaseRecord

Record = TypeVar("Record", bound=BaseRecord)


class RecordStore(Generic[Record]):
    """Directories `<root>/<id>/` with a `record.json` each.

    Args:
        root: where the directories lie.
        kind: the class of the records.
        not_found: makes the error for an unknown id.
    """

    def __init__(
        self, root: Path, kind: type[Record], not_found: Callable[[str], HeadstartError]
    ) -> None:
        self.root = root
        self._kind: type[Record] = kind
        self._not_found = not_found

    def directory(self, record_id: str) -> Path:
        if not is_id(record_id):
            raise self._not_found(record_id)
        return self.root / record_id

    def create(self, record: Record) -> Path:
        directory = self.directory(record.id)
        directory.mkdir(parents=True, exist_ok=True)
        self._write(record)
        return directory

    def get(self, record_id: str) -> Record:
        file = self.directory(record_id) / "record.json"
        try:
            return self._kind.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise self._not_found(record_id) from None

    def list(self) -> list[Record]:
        """Return all records, newest first."""
        if not self.root.is_dir():
            return []
        files = self.root.glob("*/record.json")
        ids = sorted((file.parent.name for file in files if is_id(file.parent.name)), reverse=True)
        return [self.get(record_id) for record_id in ids]

    def update(self, record_id: str, change: Callable[[Record], None]) -> Record:
        """Apply `change` to the record and write it, alone; nothing is written if it raises."""
        with self._lock_file(record_id, "record") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            record = self.get(record_id)
            change(record)
            self._write(record)
        return record

    def delete(self, record_id: str) -> None:
        shutil.rmtree(self.directory(record_id), ignore_errors=True)

    @contextmanager
    def exclusive(self, record_id: str, *, wait: bool) -> Iterator[bool]:
        """Yield whether this process alone may work on the record; the lock dies with it."""
        with self._lock_file(record_id, "work") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = True
            except BlockingIOError:
                mine = False
            yield mine

    def _lock_file(self, record_id: str, name: str) -> IO[str]:
        directory = self.directory(record_id)
        if not directory.is_dir():
            raise self._not_found(record_id)
        return (directory / f".{name}.lock").open("a")

    def _write(self, record: Record) -> None:
        file = self.directory(record.id) / "record.json"
        atomic_write(file, record.model_dump_json(indent=2).encode())
