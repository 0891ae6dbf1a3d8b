"""The near doubles of a dataset: images that are nearly equal, and so belong together.

<directory>/doubles.jsonl     a `DoubleGroup` a line, those in several parts of the split first

The trainer API imports this; `scan.likeness` finds them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pydantic import BaseModel, Field

from trainer_service.datasets.records import (
    Double,
    DoubleGroup,
    ImageRecord,
    Split,
    count_doubles,
)
from trainer_service.requests.lists import ListQuery
from trainer_service.store.records.lists import lines_of, list_page, save_list
from trainer_service.store.records.parts import CrowdCount, DoubleCount

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


def doubles_among(splits: Mapping[str, Sequence[ImageRecord]], crowds: CrowdCount) -> DoubleCount:
    """Return how many images are nearly equal, and how many groups are in several parts.

    Args:
        splits: the images of "train", "validation" and "test".
        crowds: what of them is no group, as there are too many.
    """
    images = (
        replace(image, split=cast("Split", part))
        for part, members in splits.items()
        for image in members
        if image.double_of
    )
    return count_doubles(groups_of(images), crowds)


def _group(records: list[ImageRecord]) -> DoubleGroup:
    images = [Double(name=r.name, sha256=r.sha256, label=r.label, split=r.split) for r in records]
    return DoubleGroup(images=images, leak=len({r.split or "train" for r in records}) > 1)


def save_doubles(directory: Path, groups: Iterable[DoubleGroup]) -> None:
    save_list(directory / DOUBLES_FILE, groups)


def doubles_page(directory: Path, query: ListQuery, count: int) -> DoublesPage:
    """Return a page of the groups of a dataset, of which there are so many.

    Raises:
        RecordCorrupt: as `list_page`.
    """
    name = f"datasets/{directory.name}/{DOUBLES_FILE}"
    lines = lines_of(directory, DOUBLES_FILE)
    groups, after = list_page(lines, DoubleGroup, query, name, count)
    return DoublesPage(doubles=groups, after=after)
