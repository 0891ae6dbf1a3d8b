"""Reads labels from CSV files."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.errors import InvalidDataset
from trainer_service.dataset.records import Split

# In the order in which they are preferred, if several are there.
FILE_COLUMNS = (
    "file",
    "filename",
    "file_name",
    "file_path",
    "filepath",
    "image_path",
    "image_file",
    "image_name",
    "image",
    "img",
    "path",
    "name",
    "image_id",
    "id",
)
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "label_name", "category", "target")
SPLIT_COLUMNS = ("split", "subset", "set", "partition", "part")

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_TWO = 2


class Row(NamedTuple):
    """A line of a CSV: a file as it is named there, its label and its split.

    `header` tells that it may be no more than the names of the columns, in words that are unknown.
    """

    file: str
    label: str
    split: Split | None
    table: str
    header: bool = False


class Matches(NamedTuple):
    """The row of each image that has one, by its position; and the rows that name none.

    Those of tables that name no image at all are of no interest.
    """

    rows: dict[int, Row]
    missing: list[Row]


def read_rows(name: str, data: bytes) -> list[Row]:
    """Return the rows of a CSV that may label images, none if it has no such columns."""
    lines = [[cell.strip() for cell in line] for line in _parse(data)]
    lines = [line for line in lines if any(line)]
    if not lines:
        return []
    header = [cell.lower().replace(" ", "_").replace("-", "_") for cell in lines[0]]
    file, label = _column(header, FILE_COLUMNS), _column(header, LABEL_COLUMNS)
    if file is not None and label is not None:
        return _rows(name, lines[1:], (file, label, _column(header, SPLIT_COLUMNS)))
    if len(header) == _TWO:
        columns = (0, 1, None)
        first = [row._replace(header=True) for row in _rows(name, lines[:1], columns)]
        return first + _rows(name, lines[1:], columns)
    return []


def match_rows(names: Sequence[str], rows: Iterable[Row]) -> Matches:
    """Find the image that each row names.

    A row names an image if its path is the end of the image's or the other way round, with or
    without the image's suffix, and in any case.

    Raises:
        InvalidDataset: a row names several images, or an image has two labels.
    """
    ends, wholes = _index(names)
    matched: dict[int, Row] = {}
    missing: list[Row] = []
    for row in rows:
        index = _find(row, names, ends, wholes)
        if index is None:
            missing += [] if row.header else [row]
            continue
        known = matched.setdefault(index, row)
        if (known.label, known.split) != (row.label, row.split):
            raise InvalidDataset(
                f"{row.table} says two things of {names[index]!r}: {_said(known)} and {_said(row)}"
            )
    used = {row.table for row in matched.values()}
    return Matches(matched, [row for row in missing if row.table in used])


def _said(row: Row) -> str:
    return f"{row.label!r} in {row.split}" if row.split else repr(row.label)


def _parse(data: bytes) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        return list(csv.reader(io.StringIO(text.replace("\0", "")), delimiter=delimiter))
    except csv.Error:
        return []


def _column(header: Sequence[str], known: Sequence[str]) -> int | None:
    return next((header.index(name) for name in known if name in header), None)


def _rows(
    table: str, lines: Iterable[Sequence[str]], columns: tuple[int, int, int | None]
) -> list[Row]:
    file, label, split = columns
    return [
        Row(line[file], line[label], _split(line, split), table)
        for line in lines
        if len(line) > max(file, label) and line[file] and line[label]
    ]


def _split(line: Sequence[str], column: int | None) -> Split | None:
    if column is None or column >= len(line):
        return None
    return SPLIT_NAMES.get(line[column].lower())


_AMBIGUOUS = -1


def _index(names: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Return every end of the images' paths, and the whole paths, each with and without suffix."""
    ends: dict[str, int] = {}
    wholes: dict[str, int] = {}
    for index, name in enumerate(names):
        path = name.lower()
        for form in {path, _without_suffix(path)}:
            wholes[form] = _AMBIGUOUS if form in wholes else index
            for end in _ends(form):
                ends[end] = _AMBIGUOUS if end in ends else index
    return ends, wholes


def _ends(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _find(
    row: Row, names: Sequence[str], ends: dict[str, int], wholes: dict[str, int]
) -> int | None:
    path = "/".join(p for p in row.file.lower().replace("\\", "/").split("/") if p not in {"", "."})
    index = wholes.get(path, ends.get(path))
    if index is None:
        index = next((wholes[end] for end in _ends(path) if end in wholes), None)
    if index == _AMBIGUOUS:
        alike = [name for name in names if path in _ends(name.lower())][:3]
        raise InvalidDataset(
            f"{row.table} names {row.file!r}, and several images are called so"
            f"{': ' + ', '.join(alike) if alike else ''}. Expected their folders to be named too"
        )
    return index
