"""Lists that lie beside a record, as they may be long: one JSON document a line."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from shared.errors import first_fault
from shared.files import atomic_writer, is_fault_of_the_file, open_below
from trainer_service.errors import RecordCorrupt
from trainer_service.requests.lists import ListQuery

Entry = TypeVar("Entry", bound=BaseModel)


def save_list(file: Path, entries: Iterable[BaseModel]) -> None:
    """Write a list; it replaces the one before as a whole."""
    with atomic_writer(file) as written:
        for entry in entries:
            written.write(entry.model_dump_json().encode() + b"\n")


def lines_of(directory: Path, name: str) -> Iterator[bytes]:
    """Yield the lines of a list; the file is opened when the first is asked for."""
    with open_below(directory, name) as file:
        yield from file


def list_page(
    lines: Iterable[bytes], of: type[Entry], query: ListQuery, name: str, count: int
) -> tuple[list[Entry], int | None]:
    """Return the entries of a page, and the cursor of the next one; None at the end.

    Args:
        lines: of the list.
        of: what each line is.
        query: which page.
        name: what an error calls the list.
        count: how many entries were written, as the record says.

    Raises:
        RecordCorrupt: the list is gone, can't be read, is damaged on this page, or ends with it too
            early.
    """
    try:
        page, after = query.cut(lines)
        entries = [of.model_validate_json(line) for line in page]
    except ValidationError as error:
        raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise RecordCorrupt(f"{name} can't be read: {error.strerror}.") from None
    if after is None and query.after + len(entries) < count:
        raise RecordCorrupt(f"{name} ends too early: {count} entries were written.")
    return entries, after
