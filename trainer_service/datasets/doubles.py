"""The near doubles of a dataset: images that are nearly equal, and so belong together.

<directory>/doubles.jsonl     a `DoubleGroup` a line, those in several parts of the split first

The trainer API imports this; `scan.likeness` finds them.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from shared.errors import first_fault
from shared.files import atomic_writer, is_fault_of_the_file, open_below
from trainer_service.datasets.records import Double, DoubleGroup, ImageRecord
from trainer_service.errors import RecordCorrupt

DOUBLES_FILE = "doubles.jsonl"


class DoublesPage(BaseModel):
    """Groups of near doubles after a cursor."""

    doubles: list[DoubleGroup]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


def groups_of(records: Iterable[ImageRecord]) -> list[DoubleGroup]:
    """Return the groups of a dataset's used images, those in several parts of the split first."""
    members: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.double_of and record.verdict == "used":
            members[record.double_of].append(record)
    groups = [_group(images) for images in members.values() if len(images) > 1]
    return sorted(groups, key=lambda group: not group.leak)


def _group(records: list[ImageRecord]) -> DoubleGroup:
    images = [Double(name=r.name, sha256=r.sha256, label=r.label, split=r.split) for r in records]
    return DoubleGroup(images=images, leak=len({r.split or "train" for r in records}) > 1)


def save_doubles(directory: Path, groups: Iterable[DoubleGroup]) -> None:
    with atomic_writer(directory / DOUBLES_FILE) as file:
        for group in groups:
            file.write(group.model_dump_json().encode() + b"\n")


def doubles_page(directory: Path, after: int, limit: int) -> DoublesPage:
    """Return up to `limit` groups of a dataset after the first `after`.

    Raises:
        RecordCorrupt: the list is gone, can't be read, or is damaged on this page.
    """
    name = f"datasets/{directory.name}/{DOUBLES_FILE}"
    try:
        with open_below(directory, DOUBLES_FILE) as file:
            lines = list(islice(file, after, after + limit + 1))
        groups = [DoubleGroup.model_validate_json(line) for line in lines[:limit]]
    except ValidationError as error:
        raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise RecordCorrupt(f"{name} can't be read: {error.strerror}.") from None
    return DoublesPage(doubles=groups, after=after + limit if len(lines) > limit else None)
