"""Takes the labels of images from tables."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

from shared.errors import TooLarge
from trainer_service.datasets.interpretation.tables.columns import (
    BY_VALUES,
    CLEAR,
    ChosenColumns,
    Columns,
    Sample,
    cells_of,
    find_columns,
    labels_images,
    sample,
    says_labels,
)
from trainer_service.datasets.interpretation.tables.image_index import ImageIndex
from trainer_service.datasets.interpretation.tables.parse import Broken, RowTooLong, Table
from trainer_service.datasets.interpretation.words import is_placeholder
from trainer_service.datasets.records import MAX_NAME, Split
from trainer_service.errors import InvalidDataset

_SHOWN = 100
_NAMED_MISSING = 100
_MOST_TITLES = 20
_MOST_COPIES = 16
_MOSTLY = 0.9


class TableLabel(NamedTuple):
    """What a table says of an image: its label, and its part of the split."""

    label: str
    split: Split | None


class MissingImage(NamedTuple):
    """A row of a table whose image is not there."""

    table: str
    file: str
    label: str


@dataclass
class TableLabels:
    """What a table says of the images of a dataset.

    Attributes:
        name: that of the table.
        columns: what its columns hold.
        images: what it says of each image, by its position.
        missing: the first of the rows whose images are not there.
        missing_count: how many of these there are.
        contradiction: the first image of which it says two things, in words; empty if none.
        contradictions: how many rows contradict earlier ones.
        unknown_split: what stands for the split of an image where that is not known.
        part: the part of the split that its name stands for.
        split_values: the values of the column of the split, and the part that each is.
        asked_values: those of which the user has said which part they are.
        ambiguous: a row that names several images, in words; empty if none does.
        broken: why only a part of it could be read.
    """

    name: str
    columns: Columns
    guessed_encoding: str = ""
    images: dict[int, TableLabel] = field(default_factory=dict)
    missing: list[MissingImage] = field(default_factory=list)
    missing_count: int = 0
    contradiction: str = ""
    contradictions: int = 0
    unknown_split: str = ""
    part: Split | None = None
    split_values: dict[str, Split] = field(default_factory=dict)
    asked_values: set[str] = field(default_factory=set)
    ambiguous: str = ""
    broken: str = ""

    @property
    def is_clear(self) -> bool:
        return self.columns.labels is not None and self.columns.labels.certainty == CLEAR

    @property
    def certainty(self) -> int:
        return BY_VALUES if self.columns.labels is None else self.columns.labels.certainty

    @property
    def labels(self) -> set[str]:
        return {said.label for said in self.images.values()}

    def titles(self) -> list[str]:
        return [self.columns.name(i) for i in range(len(self.columns.header or ()))][:_MOST_TITLES]

    def require_sound(self) -> None:
        """Raise InvalidDataset if what it says can't be relied on."""
        reason = self.broken or self.ambiguous or self.contradiction or self.unknown_split
        if reason:
            raise InvalidDataset(reason)


class NoLabels(NamedTuple):
    """A table that says nothing of the labels.

    Attributes:
        titles: its columns.
        reason: why it says nothing.
        splits: the part of the split of each image that it lists, as `train.txt` does.
    """

    name: str
    titles: list[str]
    reason: str
    splits: Mapping[int, Split] = {}


class Subject(NamedTuple):
    """The images that tables are read for.

    Attributes:
        names: the paths of the images.
        splits: the parts of the split that their folders put them in.
        hashes: of the bytes of each; empty where they are not known.
        images: to find them by what tables call them.
        parts: which part a value of a split's column is, where the user has said so.
        without_labels: the values of such a column whose images are left out.
    """

    names: Sequence[str]
    splits: Sequence[Split | None]
    hashes: Sequence[str]
    images: ImageIndex
    parts: Mapping[str, Split]
    without_labels: Sequence[str] = ()


def read_table(
    table: Table, subject: Subject, chosen: ChosenColumns | None = None
) -> TableLabels | NoLabels:
    """Return what a table says of the images.

    Args:
        table: the table.
        subject: the images.
        chosen: the columns that the user has named.

    Raises:
        InvalidDataset: it labels images by the names of its columns, and can't be read.
        TooLarge: the same, and it has too many lines.
    """
    index = subject.images
    table.whole_lines = table.is_text and _is_list(table, index)
    try:
        said = sample(table)
        broken = ""
    except Broken as error:
        broken = f"{table.name} is no table that can be read: {error}"
        said = _beginning(table)
        if isinstance(error, RowTooLong) and not said.rows and _is_clear(table, said):
            raise InvalidDataset(f"{broken}. Leave it out if it labels no images") from None
    except TooLarge as error:
        said = _beginning(table)
        columns = find_columns(table, said, index, chosen)
        if says_labels(said.first) or (isinstance(columns, Columns) and columns.labels):
            raise
        return NoLabels(table.name, list(said.first)[:_MOST_TITLES], error.detail)
    columns = find_columns(table, said, index, chosen)
    if isinstance(columns, str):
        return NoLabels(table.name, list(said.first)[:_MOST_TITLES], broken or columns)
    if columns.labels is None:
        return _listed(table, columns, said, index)
    found = _Reader(table, columns, subject).read()
    found.broken = broken
    if table.encoding.guessed:
        found.guessed_encoding = table.encoding.name
    if is_placeholder(PurePosixPath(table.name).stem) and len(found.labels) <= 1:
        reason = "its labels are placeholders: all are the same"
        return NoLabels(table.name, found.titles(), reason)
    return found


def _is_list(table: Table, index: ImageIndex) -> bool:
    """Return whether nearly all lines, as a whole, name an image."""
    try:
        lines = list(islice(table.lines(), _SHOWN))
    except TooLarge:
        return False
    named = sum(_names_image(line, index, table.folder) for line in lines)
    return bool(lines) and named >= _MOSTLY * len(lines)


def _names_image(line: str, index: ImageIndex, folder: str) -> bool:
    """Return whether a line is the name of an image, rather than one word of it."""
    found = index.find(line, folder)
    if found.strict or not found.images:
        return bool(found.images)
    return not any(
        (word := index.find(part, folder)).strict and word.images for part in line.split()
    )


def _listed(table: Table, columns: Columns, said: Sample, index: ImageIndex) -> NoLabels:
    """Return a table without labels, and the images that it lists if its name is a part's."""
    titles = list(columns.header or said.first)[:_MOST_TITLES]
    reason = (
        "none of its columns is known to hold labels: reading.columns.label names one that does"
    )
    splits: dict[int, Split] = {}
    if table.part is None and columns.split is None:
        return NoLabels(table.name, titles, reason)
    with suppress(Broken):
        for row in table.rows():
            found = index.find(cells_of(columns, row)[0]).images
            split = columns.split_of(columns.split_cell(row)) or table.part
            if len(found) == 1 and split is not None:
                splits[found[0]] = split
    return NoLabels(table.name, titles, reason, splits)


def _is_clear(table: Table, said: Sample) -> bool:
    return says_labels(said.first) or labels_images(table.name, table.head)


def _beginning(table: Table) -> Sample:
    """Return the rows of a table up to where it can't be read any further."""
    rows: list[Sequence[str]] = []
    with suppress(Broken, TooLarge):
        rows += islice(table.rows(), _SHOWN)
    return Sample(rows[0] if rows else [], rows[1:])


class _Reader:
    """Reads all rows of a table whose columns are known."""

    def __init__(self, table: Table, columns: Columns, subject: Subject) -> None:
        self._table = table
        self._columns = columns
        self._subject = subject
        self._labels: dict[str, str] = {}
        self._found = TableLabels(table.name, columns, part=table.part)

    def read(self) -> TableLabels:
        with suppress(Broken):  # is known by now
            for row in self._rows():
                self._take(row)
        return self._found

    def _rows(self) -> Iterator[Sequence[str]]:
        rows = self._table.rows()
        if self._columns.header is not None:
            next(rows, None)
        return rows

    def _take(self, row: Sequence[str]) -> None:
        file, label = map(_composed, cells_of(self._columns, row))
        value = self._columns.split_cell(row)
        left_out = value in self._subject.without_labels
        if left_out or value in self._subject.parts:
            self._found.asked_values.add(value)
        if not file or not label or left_out:
            return
        found = self._subject.images.find(file, self._table.folder, self._prefers())
        images = found.images if found.strict or not self._columns.strict else ()
        label = self._labels.setdefault(label, label)
        if len(images) == 1 or self._are_copies(images):
            for image in images:
                self._note(image, label, row)
        elif images:
            self._found.ambiguous = self._found.ambiguous or self._ambiguity(file, images)
        else:
            self._found.missing_count += 1
            if len(self._found.missing) < _NAMED_MISSING:
                self._found.missing.append(MissingImage(self._table.name, file, label))

    def _are_copies(self, images: Sequence[int]) -> bool:
        """Return whether images are one picture, so that it does not matter which is meant."""
        hashes = {self._subject.hashes[image] for image in images[:_MOST_COPIES]}
        return len(hashes) == 1 and "" not in hashes and len(images) <= _MOST_COPIES

    def _prefers(self) -> Callable[[int], bool] | None:
        part = self._table.part
        return None if part is None else lambda index: self._subject.splits[index] == part

    def _note(self, image: int, label: str, row: Sequence[str]) -> None:
        said = TableLabel(label, self._split_of(image, row))
        known = self._found.images.setdefault(image, said)
        if known != said:
            self._found.contradictions += 1
            self._found.contradiction = self._found.contradiction or (
                f"{self._table.name} says two things of {self._subject.names[image]!r}: "
                f"{_in_words(known)} and {_in_words(said)}"
            )
        problem = _problem(label)
        if problem and not self._found.broken:
            self._found.contradiction = self._found.contradiction or (
                f"{self._table.name}: the label of {self._subject.names[image]!r} {problem}"
            )

    def _split_of(self, image: int, row: Sequence[str]) -> Split | None:
        value = self._columns.split_cell(row)
        split = self._subject.parts.get(value) or self._columns.split_of(value)
        if split is None and self._columns.is_unknown_split(value):
            self._found.unknown_split = self._found.unknown_split or (
                f"{self._table.name}: the split of {self._subject.names[image]!r} is not "
                f"known. Expected train, validation or test. Received: {value[:_SHOWN]!r}"
            )
        if split is None:
            return self._table.part
        self._found.split_values.setdefault(value, split)
        return split

    def _ambiguity(self, file: str, images: Sequence[int]) -> str:
        alike = ", ".join(self._subject.names[image] for image in images[:3])
        return (
            f"{self._table.name} names {file[:_SHOWN]!r}, and several images are called so: "
            f"{alike}. Expected their folders and suffixes to be named too"
        )


def _composed(cell: str) -> str:
    """Return a cell with its letters composed (NFC); of what is too long for a name a bit more.

    That names nothing, and labels nothing. It is not composed: the time for it grows as the square.
    """
    return cell[: MAX_NAME + 1] if len(cell) > MAX_NAME else unicodedata.normalize("NFC", cell)


def _problem(label: str) -> str:
    if len(label.splitlines()) > 1:
        return (
            "goes over several lines, as where a quote is closed too late. "
            f"Received: {label[:_SHOWN]!r}"
        )
    if len(label) > MAX_NAME:
        return (
            f"is too long. Expected at most {MAX_NAME} characters. "
            f"Received: {label[:_SHOWN]!r} and so on"
        )
    return ""


def _in_words(said: TableLabel) -> str:
    label = repr(said.label[:_SHOWN])
    return f"{label} in {said.split}" if said.split else label
