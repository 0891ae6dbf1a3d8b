"""Reads the rows of a table, one after the other: never all cells of one are in memory.

Understood are cells parted by commas, semicolons, tabs or bars (CSV, TSV, and the like), by spaces
in `.txt` files, and JSON Lines. The encoding is what the table's first bytes say, else UTF-8, else
the best guess.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import PurePosixPath
from typing import NamedTuple

from shared.errors import TooLarge
from trainer_service.datasets.interpretation.words import part_name
from trainer_service.datasets.legacy_text import guess_encoding
from trainer_service.datasets.records import Split

MOST_COLUMNS = 4096

# Of one row, over all its lines: a quote that is never closed would take the rest of the file.
_MAX_ROW_CHARACTERS = 1 << 17
_CHUNK = 1 << 20
_HEAD = 4096
_MAX_JSON_KEYS = 256

_DELIMITERS = ",;\t|"
# What Excel reads and writes above the columns.
_SAID_DELIMITER = re.compile(r'sep=([^"\r\n])[\r\n]*', re.IGNORECASE)
# Added after the last line. No line contains it, so a cell that ends with it is an unclosed quote.
_END = "\0"
# The longer ones first, as they begin with the shorter.
_MARKED_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_JSON_LINES = frozenset({".jsonl", ".ndjson"})


class Broken(Exception):
    """A table can be read only in part, or not at all."""


class RowTooLong(Broken):
    """Nobody can tell what the columns of such a table are."""


class Encoding(NamedTuple):
    """How the characters of a table are written, and whether that was guessed."""

    name: str
    guessed: bool = False


class Table:
    """A table of a dataset.

    Args:
        name: its clean relative path.
        data: its bytes.
        most_lines: how many it may have.

    Attributes:
        whole_lines: whether each line is a cell, as in a list of names in which spaces are.
    """

    def __init__(self, name: str, data: bytes, most_lines: int) -> None:
        self.name = name
        self._data = data
        self._most_lines = most_lines
        self.whole_lines = False

    @property
    def folder(self) -> str:
        """The folder that it lies in; empty for the top."""
        return self.name.rpartition("/")[0]

    @property
    def part(self) -> Split | None:
        """The part of the split that its name stands for, as `train.csv` does."""
        part = part_name(PurePosixPath(self.name).stem)
        return part.split if part is not None else None

    @property
    def head(self) -> bytes:
        """The beginning, in which the first columns of a table are that has too many."""
        return self._data[:_HEAD]

    @cached_property
    def encoding(self) -> Encoding:
        return _encoding(self._data)

    def rows(self) -> Iterator[Sequence[str]]:
        """Yield the cells of each row that has any, without spaces around them.

        The first row of a table in JSON Lines holds the names of its columns.

        Raises:
            Broken: the rest of it can't be read.
            TooLarge: it has too many lines.
        """
        if self.is_json:
            yield from _json_rows(self._lines())
        elif self.whole_lines:
            yield from ([line] for line in self.lines())
        else:
            yield from _rows(self._lines(), self._words() if self.is_text else None)

    @property
    def is_json(self) -> bool:
        """Whether its rows are JSON objects, whose keys name the columns."""
        return PurePosixPath(self.name).suffix.lower() in _JSON_LINES

    @property
    def is_text(self) -> bool:
        """Whether spaces may part its cells."""
        return PurePosixPath(self.name).suffix.lower() == ".txt"

    def lines(self) -> Iterator[str]:
        """Yield the lines that are not empty, without spaces around them."""
        return filter(None, map(str.strip, self._lines()))

    def _words(self) -> Iterator[list[str]]:
        """Yield the words of each line; two where a label may be of several words."""
        most = 1 if self.is_ragged else -1
        for line in self._lines():
            if not line.startswith("#") and (cells := line.split(maxsplit=most)):
                yield [cell.strip() for cell in cells]

    @cached_property
    def is_ragged(self) -> bool:
        """Whether spaces part its lines, into two words and more, but not all into as many."""
        if not self.is_text or self.whole_lines:
            return False
        first = next(self.lines(), "")
        if any(sign in first for sign in _DELIMITERS):
            return False
        widths = {len(line.split()) for line in self._lines() if not line.startswith("#")} - {0}
        return len(widths) > 1 and min(widths) > 1

    def _lines(self) -> Iterator[str]:
        """Yield the lines, each with the end that it has."""
        data, left = io.BytesIO(self._data), self._most_lines
        with io.TextIOWrapper(data, self.encoding.name, "replace", newline="") as text:
            while line := text.readline(_MAX_ROW_CHARACTERS + 1):
                left -= 1
                if left < 0:
                    raise TooLarge(
                        f"{self.name}: a table may have as many lines as a dataset may have files, "
                        f"and HEADSTART_MAX_DATASET_FILES allows {self._most_lines}. Leave it out "
                        "if it labels no images"
                    )
                yield line.replace("\0", "")


def marked_encoding(data: bytes) -> str | None:
    """Return the encoding that a table begins with the mark of, as Excel and PowerShell write."""
    return next((name for mark, name in _MARKED_ENCODINGS.items() if data.startswith(mark)), None)


def _encoding(data: bytes) -> Encoding:
    if marked := marked_encoding(data):
        return Encoding(marked)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        # What can't be decoded stands in the middle of a long table, perhaps.
        start = max(0, _first_of_others(data) - _HEAD)
        return Encoding(guess_encoding(data[start:]), guessed=True)
    return Encoding("utf-8-sig")


def _first_of_others(data: bytes) -> int:
    found = re.search(rb"[\x80-\xff]", data)
    return found.start() if found is not None else 0


def _rows(lines: Iterator[str], by_spaces: Iterator[list[str]] | None) -> Iterator[list[str]]:
    """Yield the cells of lines, or those by spaces if no separator parts the first line."""
    first = next(filter(str.strip, lines), "")
    if said := _SAID_DELIMITER.fullmatch(first):
        first = next(lines, "")
    delimiter = said[1] if said else max(_DELIMITERS, key=first.count)
    if by_spaces is not None and delimiter not in first:
        yield from by_spaces
        return
    bounded = _RowLines(first, lines)
    try:
        for row in csv.reader(chain(bounded, [_END]), delimiter=delimiter):
            if row == [_END]:
                return
            if row and row[-1].endswith(_END):
                raise Broken("a quote in it is never closed")
            bounded.characters = 0
            cells = [cell.strip() for cell in row[:MOST_COLUMNS]]
            if any(cells):
                yield cells
    except csv.Error as error:
        raise Broken(str(error)) from None


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
            raise RowTooLong(f"a row has more than {_MAX_ROW_CHARACTERS} characters")
        return line


def _json_rows(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield the keys of the first object, and then the values of each under these keys."""
    keys: list[str] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Broken(f"a line of it is no JSON: {error}") from None
        if not isinstance(said, dict):
            raise Broken("a line of it is no JSON object")
        said = _flat(said)
        if not keys:
            keys = list(said)[:_MAX_JSON_KEYS]
            yield keys
        yield [_json_cell(said.get(key)) for key in keys]


def _flat(said: dict[str, object]) -> dict[str, object]:
    """Return an object with the members of its objects beside its own, as `image.path`."""
    flat: dict[str, object] = {}
    for key, value in said.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{member}": inner for member, inner in value.items()}
        else:
            flat[key] = value
    return flat


def _json_cell(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int | float):
        return str(value)
    return ""
