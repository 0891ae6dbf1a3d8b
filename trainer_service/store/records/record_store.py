"""Records that are kept in the store as JSON files and changed by one process at a time."""

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from shared.documents import read_small, reason
from shared.errors import (
    Conflict,
    HeadstartError,
    InvalidRequest,
    NotFound,
    Unavailable,
    first_fault,
)
from shared.files import atomic_write, locked_briefly
from shared.identifiers import is_id
from shared.logs import get_logger
from trainer_service.errors import RecordCorrupt, RecordUnwritable
from trainer_service.store.files.lease import Lease, lease
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.files.small_files import concerns_one_file, is_gone, is_permanent
from trainer_service.store.files.work_in_progress import REMOVED
from trainer_service.store.records.parts import BaseRecord, Brief
from trainer_service.store.records.record_index import RecordIndex, Stamp, stamp_of

RECORD_FILE = "record.json"
#: Earlier records held every rejected file and the confusion matrix, and took up to 60 MB.
MOST_BYTES = 2**28

_NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(-?[0-9]{1,18})-([0-9a-f-]{22})")

Record = TypeVar("Record", bound=BaseRecord)

log = get_logger(__name__)


class RecordStore(Generic[Record]):
    """Directories `<root>/<id>/` with a `record.json` each.

    Args:
        root: the directory of the records' directories.
        kind: the class of the records.
        not_found: makes the error for an unknown id.
    """

    def __init__(
        self, root: Path, kind: type[Record], not_found: Callable[[str], HeadstartError]
    ) -> None:
        self.root = root
        self.kind: type[Record] = kind
        self._not_found = not_found
        self._index = RecordIndex(root, RECORD_FILE, self._load_brief)
        self._warned: dict[str, str] = {}

    def directory(self, record_id: str) -> Path:
        """Return the directory of a record, which need not exist.

        Raises:
            NotFound: the id is not valid, so it never becomes a path.
        """
        if not is_id(record_id):
            raise self._not_found(record_id)
        return self.root / record_id

    def create(self, record: Record) -> Path:
        """Write a new record, and return its directory.

        Raises:
            RecordUnwritable: the file system does not permit it.
        """
        directory = self.directory(record.id)
        with self._write_errors_wrapped():
            directory.mkdir(parents=True, exist_ok=True)
            self._write(record)
        return directory

    def get(self, record_id: str) -> Record:
        """Return a record.

        Raises:
            NotFound: no record has this id.
            RecordCorrupt: its file can't be opened or is not a valid record.
            Unavailable: its file can't be read now, because of an error that may pass.
        """
        return self._load(self.directory(record_id) / RECORD_FILE)

    def read(self, file: Path) -> Record | None:
        """Return the record in a file, or None if it was deleted or can't be read.

        A record that can't be read is logged, once per reason.
        """
        try:
            return self.get(file.parent.name)
        except NotFound:
            return None
        except (RecordCorrupt, Unavailable) as error:
            self._warn(file.parent.name, error)
            return None

    def list(self) -> list[Record]:
        """Return all readable records as lists show them, newest first."""
        return list(map(self._listed, _in_order(self.briefs())))

    def page(self, limit: int, after: str | None) -> tuple[Sequence[Record], str | None]:
        """Return a page of `list`, and the cursor of the next page, which is None at the end.

        Args:
            limit: the most records to return.
            after: the cursor that came with the page before; None for the first page.

        Members of a comparison are left out, as that lists them.

        Raises:
            InvalidRequest: `after` is not a cursor that a page has returned.
        """
        briefs = _in_order([brief for brief in self.briefs() if not brief.member])
        if after is not None:
            end = _position(after)
            briefs = [brief for brief in briefs if _order(brief) < end]
        records = list(map(self._listed, briefs[:limit]))
        return records, _cursor(briefs[limit - 1]) if len(briefs) > limit else None

    def briefs(self) -> Sequence[Brief]:
        """Return the summaries of all readable records, in no order.

        The others are logged, once per reason.
        """
        return self.briefs_and_errors()[0]

    def every(self) -> Sequence[Brief]:
        """Return the summaries of all records, in no order; unlike `briefs`, none is left out.

        Raises:
            RecordCorrupt, Unavailable: a record can't be read.
        """
        briefs, unreadable = self.briefs_and_errors()
        for error in unreadable.values():
            raise error
        return briefs

    def briefs_and_errors(self) -> tuple[Sequence[Brief], dict[str, HeadstartError]]:
        """Return the result of `briefs`, and the errors of the unreadable records by their ids."""
        found = self._index.refresh()
        unreadable = {name: why for name, why in found.items() if not isinstance(why, Brief)}
        for name, error in unreadable.items():
            self._warn(name, error)
        self._warned = {name: why for name, why in self._warned.items() if name in unreadable}
        return [brief for brief in found.values() if isinstance(brief, Brief)], unreadable

    def stamp(self, record_id: str) -> Stamp:
        """Return a value that changes whenever the record's file changes.

        Raises:
            NotFound: no record has this id.
        """
        try:
            return stamp_of(self.directory(record_id) / RECORD_FILE)
        except (FileNotFoundError, NotADirectoryError):
            raise self._not_found(record_id) from None

    def update(self, record_id: str, change: Callable[[Record], None]) -> Record:
        """Read the record, apply `change` to it, and write it, under the record's lock.

        If `change` raises, nothing is written.

        Raises:
            NotFound, RecordCorrupt, Unavailable: as `get`.
            RecordUnwritable: the file system does not permit it.
        """
        with self.locked(record_id):
            record = self.get(record_id)
            change(record)
            self._write(record)
        return record

    @contextmanager
    def locked(self, record_id: str) -> Iterator[None]:
        """Hold the record's lock, for some milliseconds at most.

        All changes of a record take it, and so does creating a training, on its dataset's record.

        Raises:
            NotFound: no record has this id, or it was removed while waiting for the lock.
            RecordUnwritable: the file system does not permit the lock, or a write of the body.
        """
        lock = locked_briefly(self._require(record_id) / ".record.lock")
        with self._write_errors_wrapped(), ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except FileNotFoundError:
                raise self._not_found(record_id) from None
            yield

    def delete(self, record_id: str) -> None:
        """Remove a record with all its files; it disappears in one step."""
        removed = self.root / f"{REMOVED}{secrets.token_hex(6)}"
        with suppress(FileNotFoundError):
            self.directory(record_id).rename(removed)
            with suppress(OSError):
                remove_tree(removed)

    def delete_unreadable(self, record_id: str) -> None:
        """Remove a record that can't be read, unless a process works on it.

        Raises:
            NotFound: no record has this id.
            Conflict: a process works on it.
        """
        try:
            with self.lease(record_id) as held:
                if held is None:
                    raise Conflict(f"{self.root.name}/{record_id} is being worked on.")
                self.delete(record_id)
        except OSError:  # the directory can't be searched, so no process can work in it either
            self.delete(record_id)

    def lease_file(self, record_id: str) -> Path:
        return self.directory(record_id) / ".lease"

    @contextmanager
    def lease(self, record_id: str) -> Iterator[Lease | None]:
        """Hold the lease on the record while the body runs; yields None if another process has it.

        Raises:
            NotFound: no record has this id.
        """
        self._require(record_id)
        with lease(self.lease_file(record_id)) as held:
            yield held

    def _load(self, file: Path) -> Record:
        name = file.relative_to(self.root.parent)
        try:
            record = self.kind.model_validate_json(read_small(file, MOST_BYTES))
        except ValidationError as error:
            raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None
        except OSError as error:
            if is_gone(error):
                raise self._not_found(file.parent.name) from None
            if not concerns_one_file(error):
                raise
            kind = RecordCorrupt if is_permanent(error) else Unavailable
            raise kind(f"{name} can't be read: {reason(error)}.") from None
        if record.id != file.parent.name:
            raise RecordCorrupt(f"{name} can't be read: it is the record of {record.id!r}.")
        return record

    def _load_brief(self, file: Path) -> Brief:
        """Return the summary of a record, after checking that lists can show it."""
        brief = self._load(file).brief()
        try:
            self._listed(brief)
        except ValidationError as error:  # e.g. an infinite number, which JSON turns into null
            name = file.relative_to(self.root.parent)
            raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None
        return brief

    def _listed(self, brief: Brief) -> Record:
        return self.kind.model_validate_json(brief.listed)

    def _warn(self, record_id: str, error: HeadstartError) -> None:
        if self._warned.get(record_id) != error.detail:
            self._warned[record_id] = error.detail
            file = str(self.root / record_id / RECORD_FILE)
            log.warning("a record is left out", file=file, reason=error.detail)

    def _require(self, record_id: str) -> Path:
        directory = self.directory(record_id)
        if not directory.is_dir():
            raise self._not_found(record_id)
        return directory

    @contextmanager
    def _write_errors_wrapped(self) -> Iterator[None]:
        """Turn an OSError for lack of permission into RecordUnwritable, which names the file."""
        try:
            yield
        except OSError as error:
            if error.errno not in _NOT_PERMITTED or error.filename is None:
                raise
            file = Path(os.fsdecode(error.filename))
            # A temporary file is written in the same folder; name the folder, which is at fault.
            path = file.parent if file.suffix == ".tmp" else file
            if path.is_relative_to(self.root.parent):
                path = path.relative_to(self.root.parent)
            raise RecordUnwritable(f"{path} can't be written: {reason(error)}.") from error

    def _write(self, record: Record) -> None:
        file = self.directory(record.id) / RECORD_FILE
        atomic_write(file, record.model_dump_json(indent=2).encode())


def _order(brief: Brief) -> tuple[int, str]:
    # Ids have only seconds, and comparing numbers is cheaper than comparing times.
    return (brief.created_at - _EPOCH) // timedelta(microseconds=1), brief.id


def _in_order(briefs: Sequence[Brief]) -> list[Brief]:
    return sorted(briefs, key=_order, reverse=True)


def _cursor(brief: Brief) -> str:
    """Return the place of a record in the order of lists; it stays valid if that is deleted."""
    microseconds, record_id = _order(brief)
    return f"{microseconds}-{record_id}"


def _position(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest(
            f"after: expected what the header Link of the page before has. Received: {cursor!r}"
        )
    return int(match[1]), match[2]
