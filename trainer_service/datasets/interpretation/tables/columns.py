"""Finds out which columns of a table hold images, labels and the split, by names and by values."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from shared.errors import TooLarge
from shared.images.formats import KNOWN_SUFFIXES
from trainer_service.datasets.interpretation.tables.image_index import ImageIndex
from trainer_service.datasets.interpretation.tables.parse import Broken, Table
from trainer_service.datasets.interpretation.words import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    LABEL_LIKE_COLUMNS,
    SPLIT_COLUMNS,
    column_name,
    is_description,
    names_label,
    split_of_value,
)
from trainer_service.datasets.records import Split

_MOST_SAMPLED = 2000
_TWO = 2
_LONG_TEXT = 60
_MOSTLY = 0.9
_NO_SPLIT = frozenset({"", "unassigned", "none", "nan", "null"})
_YES = frozenset({"1", "1.0", "true", "yes"})
_NO = frozenset({"0", "0.0", "false", "no", ""})
#: What stands for no, or where nobody knows, beside 1 and 0.
_UNSURE = frozenset({"-1", "-1.0"})
#: Columns of yes and no that say of one part of the split whether an image is in it.
_FLAGS: dict[str, tuple[Split, Split]] = {
    "is_valid": ("validation", "train"),
    "is_validation": ("validation", "train"),
    "is_train": ("train", "test"),
    "is_training": ("train", "test"),
    "is_training_img": ("train", "test"),
    "is_test": ("test", "train"),
}

CLEAR, LIKELY, BY_VALUES = range(3)


class LabelColumns(NamedTuple):
    """Where labels stand: in one column, or in several of which one has a 1.

    Attributes:
        indexes: the columns.
        names: what each is called; for several also the labels.
        certainty: CLEAR if its name says so, LIKELY, or BY_VALUES if only its values do.
    """

    indexes: tuple[int, ...]
    names: tuple[str, ...]
    certainty: int

    def label(self, row: Sequence[str]) -> str:
        """Return the label of a row; empty if it has none, or several."""
        if len(self.indexes) == 1:
            return _cell(row, self.indexes[0])
        marked = [
            name
            for index, name in zip(self.indexes, self.names, strict=True)
            if _cell(row, index).lower() in _YES
        ]
        return marked[0] if len(marked) == 1 else ""


class Columns(NamedTuple):
    """What the columns of a table hold.

    Attributes:
        header: the names of the columns; None if the first row is one like the others.
        image: the column that names images.
        labels: where the labels stand; None if nowhere.
        others: other columns that could hold labels, by their names.
        split: the column of the split, if there is one.
        strict: whether the folders in the column of images are those of the images.
    """

    header: Sequence[str] | None
    image: int
    labels: LabelColumns | None
    others: Sequence[str]
    split: int | None
    strict: bool

    def name(self, index: int) -> str:
        """Return what a column is called, or its number, from 1."""
        return _column_title(self.header, index)

    def split_cell(self, row: Sequence[str]) -> str:
        """Return what a row says of the split; empty if nothing."""
        return "" if self.split is None else _cell(row, self.split)

    def split_of(self, value: str) -> Split | None:
        """Return the part of the split that a cell of its column names, if it is known."""
        name = column_name(self.name(self.split)) if self.split is not None else ""
        if name in _FLAGS:
            yes, no = _FLAGS[name]
            return yes if value.lower() in _YES else no
        return split_of_value(value)

    def is_unknown_split(self, value: str) -> bool:
        return value.lower() not in _NO_SPLIT


class Sample(NamedTuple):
    """The first row of a table, and rows from all of it, evenly spread."""

    first: Sequence[str]
    rows: list[Sequence[str]]


class ChosenColumns(NamedTuple):
    """The columns that the user has named."""

    image: str | None = None
    label: str | None = None
    split: str | None = None


def says_labels(first: Sequence[str]) -> bool:
    """Return whether the first row of a table names columns of images and of labels."""
    names = [column_name(cell) for cell in first]
    return any(n in LABEL_COLUMNS for n in names) and any(n in IMAGE_COLUMNS for n in names)


def labels_images(name: str, head: bytes) -> bool:
    """Tell from the beginning of a table whether its columns say that it labels images."""
    rows = Table(name, head, _TWO).rows()
    try:
        return says_labels(next(iter(rows), []))
    except (Broken, TooLarge):
        return False


def sample(table: Table) -> Sample:
    """Read a table, and keep at most some thousands of its rows."""
    rows = iter(table.rows())
    first = next(rows, [])
    kept: list[Sequence[str]] = []
    step = 1
    for number, row in enumerate(rows):
        if number % step == 0:
            kept.append(row)
            if len(kept) > _MOST_SAMPLED:
                kept = kept[::2]
                step *= 2
    return Sample(first, kept)


def find_columns(
    table: Table, said: Sample, index: ImageIndex, chosen: ChosenColumns | None = None
) -> Columns | str:
    """Return what the columns of a table hold, or why it says nothing of the images."""
    rows = [said.first, *said.rows]
    width = max(map(len, rows), default=0)
    matches = _Matches(rows, width, index, table.folder)
    header = said.first if table.is_json or _is_header(said, matches) else None
    chosen = chosen or ChosenColumns()
    if chosen.image is not None:
        image = _named(header, chosen.image, width)
    else:
        image = matches.best(header)
    if image is None:
        return "none of its columns names an image of the dataset"
    body = _about_images(said.rows if header else rows, rows, matches, image)
    profiles = {i: _Profile(body, i) for i in range(width) if i != image}
    split = _split_column(header, profiles)
    if chosen.split is not None:
        split = _named(header, chosen.split, width)
    others = {i: profile for i, profile in profiles.items() if i != split}
    are_files = matches.are_files(image) and not table.is_ragged  # those may be several labels
    labels = _label_columns(header, others, width, are_files=are_files)
    if chosen.label is not None:
        wanted = _named(header, chosen.label, width)
        labels = [] if wanted is None else [_single(header, wanted, CLEAR)]
    found = labels[0] if labels else None
    also = [o.names[0] for o in labels[1:] if found and _is_as_likely(o, found, profiles)]
    return Columns(header, image, found, also, split, matches.are_strict(image))


def _is_as_likely(
    other: LabelColumns, found: LabelColumns, profiles: dict[int, "_Profile"]
) -> bool:
    first, second = profiles[found.indexes[0]], profiles[other.indexes[0]]
    return other.certainty == found.certainty and second.are_numbers <= first.are_numbers


class _Matches:
    """Which cells of a sample name images."""

    def __init__(
        self, rows: Sequence[Sequence[str]], width: int, index: ImageIndex, folder: str
    ) -> None:
        self._images: list[set[int]] = [set() for _ in range(width)]
        self._files: list[int] = [0] * width
        self._strict: list[bool] = [False] * width
        self._rows: list[set[int]] = [set() for _ in range(width)]
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                found = index.find(cell, folder)
                if not found.images:
                    continue
                self._images[column].update(found.images)
                self._rows[column].add(number)
                self._files[column] += "." in cell or "/" in cell
                self._strict[column] |= found.strict

    def best(self, header: Sequence[str] | None) -> int | None:
        """Return the column that names most images, file names before numbers."""
        columns = [i for i, images in enumerate(self._images) if images]
        if not columns and header is not None and says_labels(header):
            names = [column_name(cell) for cell in header]
            return min(names.index(name) for name in IMAGE_COLUMNS if name in names)

        def worth(column: int) -> tuple[bool, int, int, int]:
            name = column_name(header[column]) if header and column < len(header) else ""
            known = IMAGE_COLUMNS.index(name) if name in IMAGE_COLUMNS else len(IMAGE_COLUMNS)
            number = len(self._images[column])
            return self.are_files(column), number, -known, -column

        return max(columns, key=worth) if columns else None

    def are_files(self, column: int) -> bool:
        return self._files[column] * 2 > len(self._images[column])

    def in_first_row(self) -> bool:
        return any(0 in rows for rows in self._rows)

    def rows(self, column: int) -> set[int]:
        return self._rows[column]

    def are_strict(self, column: int) -> bool:
        return self._strict[column]


def _is_header(said: Sample, matches: _Matches) -> bool:
    """Return whether the first row holds the names of the columns."""
    names = [column_name(cell) for cell in said.first]
    if says_labels(said.first):
        return True
    if matches.in_first_row() or not said.rows:
        return False
    known = {*IMAGE_COLUMNS, *LABEL_COLUMNS, *LABEL_LIKE_COLUMNS, *SPLIT_COLUMNS}
    if any(name in known for name in names):
        return True
    filled = [cell for cell in said.first if cell]
    if any(_is_number(cell) or "/" in cell for cell in filled):
        return False
    if any(PurePosixPath(cell.lower()).suffix in KNOWN_SUFFIXES for cell in filled):
        return False
    repeated = {cell for row in said.rows for cell in row}
    return len(set(filled)) == len(filled) and not repeated & set(filled)


def _about_images(
    body: list[Sequence[str]], rows: list[Sequence[str]], matches: _Matches, image: int
) -> list[Sequence[str]]:
    """Return the rows that name images; all of them if these are too few to judge by."""
    named = [rows[number] for number in sorted(matches.rows(image))]
    return named if len(named) > _TWO else body


class _Profile:
    """What the cells of a column have in common."""

    def __init__(self, rows: Sequence[Sequence[str]], column: int) -> None:
        cells = [_cell(row, column) for row in rows]
        filled = [cell for cell in cells if cell]
        self.filled = len(filled) / max(len(cells), 1)
        self.values = set(filled)
        self.are_repeated = len(self.values) * 2 <= len(filled)
        said = {cell.lower() for cell in cells}
        self.are_flags = bool(filled) and said <= _YES | _NO | _UNSURE
        self.are_numbers = bool(filled) and all(map(_is_number, self.values))
        self.are_row_numbers = (
            self.are_numbers and len(filled) > _TWO and len(self.values) == len(filled)
        )
        self.are_fractions = self.are_numbers and any(
            "." in cell and not cell.endswith(".0") for cell in self.values
        )
        self.are_texts = sum(map(len, self.values)) > _LONG_TEXT * max(len(self.values), 1)
        self.are_addresses = sum("://" in cell for cell in self.values) * 2 > len(self.values)
        self.flags = [cell.lower() in _YES for cell in cells]

    @property
    def may_be_labels(self) -> bool:
        """Whether the values are few, repeat, and are neither measures nor sentences."""
        few = self.are_repeated and len(self.values) >= _TWO and self.filled >= 1 / 2
        return few and not (self.are_fractions or self.are_texts or self.are_addresses)


def _label_columns(
    header: Sequence[str] | None, profiles: dict[int, _Profile], width: int, *, are_files: bool
) -> list[LabelColumns]:
    """Return the columns that may hold labels, the likeliest first.

    A list of files with one thing said of each, and nothing else, is one of labels.
    """
    if width == _TWO and not _names_clear(header):
        certainty = CLEAR if header is None and are_files else LIKELY
        names = {column: column_name(_column_title(header, column)) for column in profiles}
        return [
            _single(header, column, certainty)
            for column, name in names.items()
            if name not in SPLIT_COLUMNS
            and not is_description(name)
            and not (profiles[column].are_row_numbers or profiles[column].are_addresses)
        ]
    ranked = sorted(
        (rank, column)
        for column, profile in profiles.items()
        if (rank := _rank(header, column, profile)) is not None
    )
    found = [_single(header, column, rank[0]) for rank, column in ranked]
    found = _words_before_numbers(found, profiles)
    if flags := _one_hot(header, profiles):
        place = sum(columns.certainty == CLEAR for columns in found)
        found.insert(place, flags)
    return found


def _names_clear(header: Sequence[str] | None) -> bool:
    return any(column_name(title) in LABEL_COLUMNS for title in header or ())


def _rank(
    header: Sequence[str] | None, column: int, profile: _Profile
) -> tuple[int, int, int] | None:
    """Return how likely a column holds labels, the smaller the likelier; None if it does not."""
    title = header[column] if header and column < len(header) else ""
    name = column_name(title)
    if name in LABEL_COLUMNS and profile.values and not profile.are_fractions:
        return CLEAR, LABEL_COLUMNS.index(name), column
    if not profile.may_be_labels:
        return None
    if names_label(name):
        return LIKELY, 0, column
    if name in LABEL_LIKE_COLUMNS and not profile.are_flags:
        return LIKELY, 1 + LABEL_LIKE_COLUMNS.index(name), column
    nameless = header is not None and not title
    says_no_label = nameless or is_description(name) or profile.are_flags
    return None if says_no_label else (BY_VALUES, int(profile.are_numbers), column)


def _words_before_numbers(
    found: list[LabelColumns], profiles: dict[int, _Profile]
) -> list[LabelColumns]:
    """Prefer, of two columns of as many values, the one of names to the one of their numbers."""
    if len(found) < _TWO or found[0].certainty == BY_VALUES:
        return found
    first = profiles[found[0].indexes[0]]
    if not first.are_numbers:
        return found
    for other in found[1:]:
        profile = profiles[other.indexes[0]]
        same = len(profile.values) == len(first.values)
        if same and not profile.are_numbers and other.certainty != BY_VALUES:
            certainty = found[0].certainty
            rest = [columns for columns in found if columns is not other]
            return [other._replace(certainty=certainty), *rest]
    return found


def _one_hot(header: Sequence[str] | None, profiles: dict[int, _Profile]) -> LabelColumns | None:
    """Return the columns of 0 and 1 of which nearly every row has exactly one 1."""
    flags = [column for column, profile in profiles.items() if profile.are_flags]
    flags = [c for c in flags if not is_description(column_name(_column_title(header, c)))]
    if len(flags) < _TWO or not profiles[flags[0]].flags:
        return None
    rows = list(zip(*(profiles[column].flags for column in flags), strict=True))
    if sum(sum(row) == 1 for row in rows) < _MOSTLY * len(rows):
        return None
    if sum(map(any, zip(*rows, strict=True))) < _TWO:
        return None
    titles = [_column_title(header, column) for column in flags]
    names = titles if header else [str(number) for number in range(len(flags))]
    return LabelColumns(tuple(flags), tuple(names), LIKELY)


def _split_column(header: Sequence[str] | None, profiles: dict[int, _Profile]) -> int | None:
    for column, profile in profiles.items():
        name = column_name(header[column]) if header and column < len(header) else ""
        if name in _FLAGS and profile.are_flags:
            return column
        known = {value for value in profile.values if split_of_value(value)}
        others = {v for v in profile.values - known if v.lower() not in _NO_SPLIT}
        if known and (name in SPLIT_COLUMNS or (not others and _is_split(known))):
            return column
    return None


def _is_split(values: set[str]) -> bool:
    parts = {split_of_value(value) for value in values}
    return "train" in parts and len(parts) > 1


def _single(header: Sequence[str] | None, column: int, certainty: int) -> LabelColumns:
    return LabelColumns((column,), (_column_title(header, column),), certainty)


def _column_title(header: Sequence[str] | None, column: int) -> str:
    title = header[column] if header and column < len(header) else ""
    return title or f"column {column + 1}"


def _named(header: Sequence[str] | None, name: str, width: int) -> int | None:
    """Return the column of a name, or else of a number, as in `column 3`."""
    titles = [_column_title(header, column) for column in range(width)]
    for known in (titles, [_column_title(None, column) for column in range(width)]):
        if name in known:
            return known.index(name)
    return None


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def cells_of(columns: Columns, row: Sequence[str]) -> tuple[str, str]:
    """Return what a row calls its image, and its label."""
    return _cell(row, columns.image), columns.labels.label(row) if columns.labels else ""
