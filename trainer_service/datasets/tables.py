"""Reads labels from CSV files, a row after the other: never all cells of one are in memory."""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from shared.errors import TooLarge
from trainer_service.datasets.records import MAX_FOLDERS, MAX_NAME, Split
from trainer_service.errors import InvalidDataset

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
    "train_set": "train",
    "training": "train",
    "training_set": "train",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validation_set": "validation",
    "test": "test",
    "test_set": "test",
    "testing": "test",
}
_TWO = 2

# Of one row, over all its lines: a quote that is never closed would take the rest of the file.
_MAX_ROW_CHARACTERS = 1 << 17
# In these bytes are the first columns of a table that has too many.
_HEAD = 4096
_CHUNK = 1 << 20

_DELIMITERS = ",;\t|"
# What Excel reads and writes above the columns.
_SAID_DELIMITER = re.compile(r'sep=([^"\r\n])[\r\n]*', re.IGNORECASE)
# Stands behind the last line, as no line can: a quote that is never closed takes it in.
_END = "\0"
# The longer ones first, as they begin with the shorter.
_MARKED_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Row(NamedTuple):
    """A line of a CSV: a file as it is named there, its label and its split.

    `unknown_split` is what stands for the split, if it is the name of none. `header` tells that it
    may be no more than the names of the columns, in words that are unknown.
    """

    file: str
    label: str
    split: Split | None
    table: str
    unknown_split: str = ""
    header: bool = False


class Matches(NamedTuple):
    """The row of each image that has one, by its position; and the rows that name none.

    Those of tables that name no image at all are of no interest.
    """

    rows: dict[int, Row]
    missing: list[Row]


class TableReader:
    """Reads the rows of several tables, no more lines in all than a dataset may have files.

    Args:
        most: so many lines.

    Attributes:
        broken: why a table without a header could be read only in part, by its name.
    """

    def __init__(self, most: int) -> None:
        self.broken: dict[str, str] = {}
        self._most = most
        self._left = most

    def rows(self, name: str, data: bytes) -> Iterator[Row]:
        """Yield the rows of a CSV that may label images, none if it has no such columns.

        Raises:
            InvalidDataset: it has such columns, and then something that is no CSV.
            TooLarge: there are too many lines.
        """
        lines = _parse(self._lines(name, data))
        columns: _Columns | None = None
        try:
            first = next(lines, [])
            columns = _columns(first)
            if columns is None:
                return
            if not columns.named:
                yield from (row._replace(header=True) for row in _rows(name, [first], columns))
            yield from _rows(name, lines, columns)
        except csv.Error as error:
            self.broken[name] = f"{name} is no CSV that can be read: {error}"
            if columns is None and isinstance(error, _RowTooLong) and labels_images(data[:_HEAD]):
                raise InvalidDataset(
                    f"{self.broken[name]}. Leave it out if it labels no images"
                ) from None
            if columns is not None and columns.named:
                raise InvalidDataset(self.broken[name]) from None

    def require_whole(self, rows: Iterable[Row]) -> None:
        """Raise InvalidDataset if one of the rows is of a table that could be read only in part."""
        for row in rows:
            if row.table in self.broken:
                raise InvalidDataset(self.broken[row.table])

    def _lines(self, name: str, data: bytes) -> Iterator[str]:
        """Yield the lines of a table, counting them, each with the end that it has."""
        encoding = _encoding(data)
        with io.TextIOWrapper(io.BytesIO(data), encoding, "replace", newline="") as text:
            while line := text.readline(_MAX_ROW_CHARACTERS + 1):
                self._left -= 1
                if self._left < 0:
                    raise TooLarge(
                        f"{name}: the tables of a dataset may have as many lines as it may have "
                        f"files, and HEADSTART_MAX_DATASET_FILES allows {self._most}. Leave it "
                        "out if it labels no images"
                    )
                yield line.replace("\0", "")


def labels_images(head: bytes) -> bool:
    """Tell from the beginning of a table whether its columns say that it labels images."""
    encoding = _marked_encoding(head) or "utf-8-sig"
    lines = _parse(iter(head.decode(encoding, "replace").splitlines()))
    try:
        columns = _columns(next(lines, []))
    except csv.Error:
        return False
    return columns is not None and columns.named


def match_rows(names: Sequence[str], rows: Iterable[Row]) -> Matches:
    """Find the image that each row names.

    A row names an image if its path is the end of the image's or the other way round, with or
    without the image's suffix, and in any case.

    Raises:
        InvalidDataset: a row names several images, or an image has two labels.
    """
    by_path, contradictions = _by_path(rows)
    found = _find(names, by_path)
    matched: dict[int, Row] = {}
    for path, row in by_path.items():
        index = found.get(path)
        if index is None:
            continue
        if index == _AMBIGUOUS:
            raise InvalidDataset(_describe_ambiguity(row, path, names))
        for said in (row, *contradictions.get(path, ())):
            _require_one_word(names[index], matched.setdefault(index, said), said)
    used = {row.table for row in matched.values()}
    missing = [r for path, r in by_path.items() if path not in found and not r.header]
    return Matches(matched, [row for row in missing if row.table in used])


def _by_path(rows: Iterable[Row]) -> tuple[dict[str, Row], dict[str, tuple[Row]]]:
    """Return the first row of each path, and of those that say two things another one."""
    by_path: dict[str, Row] = {}
    contradictions: dict[str, tuple[Row]] = {}
    for row in rows:
        known = by_path.setdefault(_normal(row.file), row)
        if (known.label, known.split) != (row.label, row.split):
            contradictions.setdefault(_normal(row.file), (row,))
    return by_path, contradictions


def _require_one_word(name: str, known: Row, row: Row) -> None:
    if (known.label, known.split) != (row.label, row.split):
        raise InvalidDataset(
            f"{row.table} says two things of {name!r}: {_said(known)} and {_said(row)}"
        )
    if len(row.label.splitlines()) > 1:
        raise InvalidDataset(
            f"{row.table}: the label of {name!r} goes over several lines, as where a quote is "
            f"closed too late. Received: {row.label[:_SHOWN]!r}"
        )
    if len(row.label) > MAX_NAME:
        raise InvalidDataset(
            f"{row.table}: the label of {name!r} is too long. Expected at most {MAX_NAME} "
            f"characters. Received: {row.label[:_SHOWN]!r} and so on"
        )


def _said(row: Row) -> str:
    said = repr(row.label[:_SHOWN])
    return f"{said} in {row.split}" if row.split else said


def _marked_encoding(data: bytes) -> str | None:
    """Return the encoding that a table begins with the mark of, as Excel and PowerShell write."""
    return next((name for mark, name in _MARKED_ENCODINGS.items() if data.startswith(mark)), None)


def _encoding(data: bytes) -> str:
    if marked := _marked_encoding(data):
        return marked
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _parse(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield the cells of each row that has any.

    Raises:
        csv.Error: it is no CSV, or a row of it is implausibly long.
    """
    first = next(filter(str.strip, lines), "")
    if said := _SAID_DELIMITER.fullmatch(first):
        first = next(lines, "")
    delimiter = said[1] if said else max(_DELIMITERS, key=first.count)
    bounded = _RowLines(first, lines)
    for row in csv.reader(chain(bounded, [_END]), delimiter=delimiter):
        if row == [_END]:
            return
        if row and row[-1].endswith(_END):
            raise csv.Error("a quote in it is never closed")
        bounded.characters = 0
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield cells


class _RowTooLong(csv.Error):
    """Nobody can tell what the columns of such a table are."""


class _RowLines:
    """The lines of a table, so many characters of them for one row as is plausible."""

    def __init__(self, first: str, others: Iterator[str]) -> None:
        self.characters = 0
        self._first = first
        self._others = others

    def __iter__(self) -> Iterator[str]:
        yield self._counted(self._first)
        yield from map(self._counted, self._others)

    def _counted(self, line: str) -> str:
        self.characters += len(line)
        if self.characters > _MAX_ROW_CHARACTERS:
            raise _RowTooLong(f"a row has more than {_MAX_ROW_CHARACTERS} characters")
        return line


class _Columns(NamedTuple):
    """Where file, label and split stand; `named` tells that the first line says so."""

    file: int
    label: int
    split: int | None
    named: bool


def _columns(first: Sequence[str]) -> _Columns | None:
    header = [cell.lower().replace(" ", "_").replace("-", "_") for cell in first]
    file, label = _column(header, FILE_COLUMNS), _column(header, LABEL_COLUMNS)
    if file is not None and label is not None:
        return _Columns(file, label, _column(header, SPLIT_COLUMNS), named=True)
    return _Columns(0, 1, None, named=False) if len(first) == _TWO else None


def _column(header: Sequence[str], known: Sequence[str]) -> int | None:
    return next((header.index(name) for name in known if name in header), None)


def _rows(table: str, lines: Iterable[Sequence[str]], columns: _Columns) -> Iterator[Row]:
    file, label, split, _ = columns
    labels: dict[str, str] = {}
    for line in lines:
        if len(line) > max(file, label) and line[file] and line[label]:
            said = _cell(line[label])
            said = labels.setdefault(said, said)
            name = line[split].lower() if split is not None and split < len(line) else ""
            known = SPLIT_NAMES.get(name)
            unknown = "" if known else name[:_SHOWN]
            yield Row(_cell(line[file]), said, known, table, unknown)


def _cell(text: str) -> str:
    """Return what a cell says, its letters composed; of what is too long for a name a bit more.

    That names nothing, and labels nothing. It is not composed: the time for it grows as the square.
    """
    return text[: MAX_NAME + 1] if len(text) > MAX_NAME else unicodedata.normalize("NFC", text)


_AMBIGUOUS = -1
_SHOWN = 100


def _normal(file: str) -> str:
    return "/".join(p for p in file.lower().replace("\\", "/").split("/") if p not in {"", "."})


def _find(names: Sequence[str], paths: Mapping[str, Row]) -> dict[str, int]:
    """Return the position of the image that each path names, for those that name one."""
    wholes, ends = _look_up(names, paths)
    found = ends | wholes
    longer = [path for path in paths if path not in found and "/" in path]
    if longer:
        wholes = _wholes(names)
        for path in longer:
            # An image lies in no more folders.
            shorter = _ends(path, range(min(path.count("/"), MAX_FOLDERS), -1, -1))
            index = next((wholes[end] for end in shorter if end in wholes), None)
            if index is not None:
                found[path] = index
    return found


def _look_up(
    names: Sequence[str], paths: Mapping[str, Row]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return which of the paths are an image's, and which are the end of an image's."""
    wholes: dict[str, int] = {}
    ends: dict[str, int] = {}
    depths = {path.count("/") for path in paths}
    for form in _FORMS:
        of_form: dict[str, int] = {}
        ends_of_form: dict[str, int] = {}
        for index, name in enumerate(names):
            path = form(name)
            _note(of_form, path, index, paths)
            for end in _ends(path, depths):
                _note(ends_of_form, end, index, paths)
        wholes |= of_form
        ends |= ends_of_form
    return wholes, ends


def _wholes(names: Sequence[str]) -> dict[str, int]:
    wholes: dict[str, int] = {}
    for form in _FORMS:
        of_form: dict[str, int] = {}
        for index, name in enumerate(names):
            path = form(name)
            _note(of_form, path, index, {path})
        wholes |= of_form
    return wholes


def _note(found: dict[str, int], form: str, index: int, asked: Container[str]) -> None:
    if form in asked:
        found[form] = _AMBIGUOUS if form in found else index


def _ends(path: str, depths: Iterable[int]) -> Iterator[str]:
    """Yield the ends of a path that have so many folders, as far as it has as many."""
    parts = path.split("/")
    for depth in depths:
        if depth < len(parts):
            yield "/".join(parts[len(parts) - 1 - depth :])


def _without_suffix(name: str) -> str:
    folder, slash, file = name.lower().rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)


#: How a row may name an image. The later one counts first: `1.png` is that, not `1.png.jpg`.
_FORMS = (_without_suffix, str.lower)


def _describe_ambiguity(row: Row, path: str, names: Sequence[str]) -> str:
    forms = ((name, f"/{form(name)}") for form in reversed(_FORMS) for name in names)
    alike = list(dict.fromkeys(name for name, form in forms if form.endswith(f"/{path}")))[:3]
    return (
        f"{row.table} names {row.file[:_SHOWN]!r}, and several images are called so"
        f"{': ' + ', '.join(alike) if alike else ''}. Expected their folders and suffixes to be "
        "named too; capital and small letters are the same"
    )
