"""Records that lie in the store as JSON and are changed by one process at a time."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from shared.errors import HeadstartError, NotFound, RecordCorrupt, first_fault
from shared.files import atomic_write, locked_briefly
from shared.identifiers import is_id
from shared.lease import Lease, lease
from shared.logs import get_logger
from shared.model_store import REMOVED
from trainer_service.schemas import BaseRecord

RECORD_FILE = "record.json"
WAIT_SECONDS = 0.1

Record = TypeVar("Record", bound=BaseRecord)

log = get_logger(__name__)


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
        self._warned: dict[Path, int] = {}

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
        """Return a record.

        Raises:
            NotFound: there is none with that id.
            RecordCorrupt: its file is truncated, or not what a record looks like.
        """
        file = self.directory(record_id) / RECORD_FILE
        try:
            return self.kind.model_validate_json(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise self._not_found(record_id) from None
        except ValidationError as error:
            name = file.relative_to(self.root.parent)
            raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None

    def read(self, file: Path) -> Record | None:
        """Return the record in one of `files`, or None if it is deleted meanwhile or corrupt.

        A corrupt one is warned of, once for each time that it was written.
        """
        try:
            return self.get(file.parent.name)
        except NotFound:
            return None
        except RecordCorrupt as corrupt:
            self._warn(file, corrupt)
            return None

    def list(self) -> list[Record]:
        """Return all records, newest first, but for those that `read` leaves out."""
        records = filter(None, map(self.read, self.files()))
        # Ids tell seconds only.
        return sorted(records, key=lambda record: record.created_at, reverse=True)

    def every(self) -> Sequence[Record]:
        """Return all records, in no order, for whoever must not overlook one.

        Raises:
            RecordCorrupt: one can't be read.
        """
        records = []
        for file in self.files():
            with suppress(NotFound):  # deleted meanwhile
                records.append(self.get(file.parent.name))
        return records

    def files(self) -> Sequence[Path]:
        """Return where the records lie, in no order."""
        return [file for file in self.root.glob(f"*/{RECORD_FILE}") if is_id(file.parent.name)]

    def update(self, record_id: str, change: Callable[[Record], None]) -> Record:
        """Apply `change` to the record and write it, alone; nothing is written if it raises."""
        with self.alone(record_id):
            record = self.get(record_id)
            change(record)
            self._write(record)
        return record

    @contextmanager
    def alone(self, record_id: str) -> Iterator[None]:
        """Keep others from changing the record for some milliseconds, and from coming to use it.

        Raises:
            NotFound: there is none with that id, or no more once others have let go of it.
        """
        lock = locked_briefly(self._require(record_id) / ".record.lock")
        with ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except FileNotFoundError:
                raise self._not_found(record_id) from None
            yield

    def delete(self, record_id: str) -> None:
        """Remove all there is of a record, at once for all who look for it."""
        removed = self.root / f"{REMOVED}{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):
            self.directory(record_id).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)

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

    def _warn(self, file: Path, corrupt: RecordCorrupt) -> None:
        with suppress(FileNotFoundError):
            written = file.stat().st_mtime_ns
            if self._warned.get(file) != written:
                self._warned[file] = written
                log.warning("a record is left out", file=str(file), reason=corrupt.detail)

    def _require(self, record_id: str) -> Path:
        directory = self.directory(record_id)
        if not directory.is_dir():
            raise self._not_found(record_id)
        return directory

    def _write(self, record: Record) -> None:
        file = self.directory(record.id) / RECORD_FILE
        atomic_write(file, record.model_dump_json(indent=2).encode())
