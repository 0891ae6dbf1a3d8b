"""Records that lie in the store as JSON and are changed by one process at a time."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from shared.errors import HeadstartError, NotFound
from shared.files import atomic_write, locked_briefly
from shared.identifiers import is_id
from shared.lease import Lease, lease
from trainer_service.schemas import BaseRecord

WAIT_SECONDS = 0.1

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
        self.kind: type[Record] = kind
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
            return self.kind.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise self._not_found(record_id) from None

    def list(self) -> list[Record]:
        """Return all records, newest first; one that is deleted meanwhile is left out."""
        records = []
        for file in self.files():
            with suppress(NotFound):
                records.append(self.get(file.parent.name))
        # Ids tell seconds only.
        return sorted(records, key=lambda record: record.created_at, reverse=True)

    def files(self) -> Sequence[Path]:
        """Return where the records lie, in no order."""
        return [file for file in self.root.glob("*/record.json") if is_id(file.parent.name)]

    def update(self, record_id: str, change: Callable[[Record], None]) -> Record:
        """Apply `change` to the record and write it, alone; nothing is written if it raises."""
        with locked_briefly(self._require(record_id) / ".record.lock"):
            record = self.get(record_id)
            change(record)
            self._write(record)
        return record

    def delete(self, record_id: str) -> None:
        shutil.rmtree(self.directory(record_id), ignore_errors=True)

    def lease_file(self, record_id: str) -> Path:
        return self.directory(record_id) / ".lease"

    @contextmanager
    def lease(self, record_id: str) -> Iterator[Lease | None]:
        """Yield the right to work on the record alone, or None if another process has it."""
        self._require(record_id)
        with lease(self.lease_file(record_id)) as held:
            yield held

    @contextmanager
    def lease_in_turn(self, record_id: str, waiting: Callable[[], None]) -> Iterator[Lease]:
        """Yield the right to work on the record alone, as soon as no other process has it.

        `waiting` is called again and again until then; what it raises ends the waiting.
        """
        while True:
            with self.lease(record_id) as held:
                if held is not None:
                    yield held
                    return
            waiting()
            time.sleep(WAIT_SECONDS)

    def _require(self, record_id: str) -> Path:
        directory = self.directory(record_id)
        if not directory.is_dir():
            raise self._not_found(record_id)
        return directory

    def _write(self, record: Record) -> None:
        file = self.directory(record.id) / "record.json"
        atomic_write(file, record.model_dump_json(indent=2).encode())
