"""Labels images by the tables of a dataset, or says why a table is not used."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trainer_service.datasets.interpretation.left_out import AS_ASKED, matcher
from trainer_service.datasets.interpretation.tables.columns import BY_VALUES, ChosenColumns
from trainer_service.datasets.interpretation.tables.image_index import ImageIndex
from trainer_service.datasets.interpretation.tables.labels import (
    MissingImage,
    NoLabels,
    Subject,
    TableLabels,
    read_table,
)
from trainer_service.datasets.interpretation.tables.parse import Table
from trainer_service.datasets.interpretation.ways import Images, Way, settled_splits
from trainer_service.datasets.records import Split
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ColumnsRequest, ReadingRequest
from trainer_service.store.records.interpretation import Layout, UnusedFile

_TWO = 2
_MOST_OTHERS = 5


@dataclass
class TableWay(Way):
    """A way to label images by tables.

    Attributes:
        tables: those that it uses.
        missing: the first of their rows whose images are not there.
        missing_count: how many these are of each table.
        contradiction: why what they say can't be relied on; empty if it can.
        rivals: why other tables, which may as well be right, are not used.
    """

    tables: list[TableLabels] = field(default_factory=list)
    missing: list[MissingImage] = field(default_factory=list)
    missing_count: dict[str, int] = field(default_factory=dict)
    contradiction: str = ""
    rivals: list[str] = field(default_factory=list)

    @property
    def is_clear(self) -> bool:
        return all(table.is_clear for table in self.tables)

    @property
    def is_by_values(self) -> bool:
        return any(
            table.columns.labels is not None and table.columns.labels.certainty == BY_VALUES
            for table in self.tables
        )

    @property
    def share(self) -> float:
        return sum(1 for label in self.labels if label) / max(len(self.labels), 1)


class Tables:
    """What the tables of a dataset say.

    Attributes:
        labelling: those that label images.
        unused: the others, and why.
        lists: those of the others that say the split of images.
    """

    def __init__(
        self,
        images: Images,
        tables: Mapping[str, bytes],
        reading: ReadingRequest,
        most_lines: int,
    ) -> None:
        self._images = images
        self.labelling: list[TableLabels] = []
        self.unused: list[UnusedFile] = []
        self.lists: list[NoLabels] = []
        if not tables:
            return
        columns = reading.columns
        self._chosen = ChosenColumns(columns.image, columns.label, columns.split)
        index = ImageIndex(images.names)
        self._subject = Subject(
            images.names,
            images.splits,
            images.hashes,
            index,
            reading.parts,
            reading.without_labels,
        )
        self._tables = {name: Table(name, data, most_lines) for name, data in tables.items()}
        is_ignored = matcher(reading.ignore)
        for name, table in sorted(self._tables.items()):
            if is_ignored(name):
                self.leave_out(name, (), AS_ASKED)
                continue
            wanted = self._chosen if reading.table in {None, name} else None
            found = read_table(table, self._subject, wanted)
            if isinstance(found, NoLabels):
                self.leave_out(found.name, found.titles, found.reason)
                if found.splits:
                    self.lists.append(found)
            elif found.images:
                self.labelling.append(found)
            else:
                reason = found.ambiguous or "it names no image of the dataset"
                self.leave_out(name, found.titles(), reason)

    def leave_out(self, name: str, titles: Sequence[str], reason: str) -> None:
        self.unused.append(UnusedFile(name=name, columns=list(titles), reason=reason))

    def way(self, wanted: str | None = None) -> TableWay | None:
        """Return what the tables say together; None if none of them labels an image.

        Those that contradict one with more images, or are less clear, are not used.

        Args:
            wanted: the only table to be used.
        """
        used, rejected = _compatible(self.labelling, wanted)
        if not used:
            return None
        for table, why in rejected:
            if all(unused.name != table.name for unused in self.unused):
                self.leave_out(table.name, table.titles(), why.reason)
        way = self._way(used)
        against = [
            (table, f"{table.name}: {why.reason}") for table, why in rejected if why.contradicts
        ]
        way.contradiction = next((why for t, why in against if _same_shape(t, used[0])), "")
        way.rivals = [why for table, why in against if table.certainty == used[0].certainty]
        return way

    def without(self, way: TableWay) -> TableWay | None:
        """Return what the other tables say; None if none of them labels an image."""
        names = [table.name for table in way.tables]
        used, _ = _compatible(table for table in self.labelling if table.name not in names)
        if not used:
            return None
        other = self._way(used)
        other.reading = ReadingRequest(labels="table", ignore=names)
        return other

    def by_other_columns(self, way: TableWay) -> list[TableWay]:
        """Return what the table of a way says if another of its columns holds the labels."""
        first = way.tables[0]
        ways: list[TableWay] = []
        for title in first.columns.others[:_MOST_OTHERS]:
            chosen = self._chosen._replace(label=title)
            found = read_table(self._tables[first.name], self._subject, chosen)
            if isinstance(found, TableLabels) and found.images and not found.contradiction:
                other = self._way([found])
                columns = ColumnsRequest.model_validate(chosen._asdict())
                other.reading = ReadingRequest(table=first.name, columns=columns)
                ways.append(other)
        return ways

    def _way(self, used: Sequence[TableLabels]) -> TableWay:
        names = self._images.names
        labels = [""] * len(names)
        splits: list[Split | None] = [None] * len(names)
        for table in reversed(used):
            for image, said in table.images.items():
                labels[image], splits[image] = said.label, said.split
        of_folders = self._images.splits
        if not any(splits) and all(s for s, label in zip(of_folders, labels, strict=True) if label):
            splits = of_folders
        first = used[0]
        way = TableWay(
            _layout(used, names),
            labels,
            _table_splits(labels, splits),
            ReadingRequest(labels="table"),
            tables=list(used),
        )
        if len(used) == 1:
            way.reading = ReadingRequest(table=first.name)
        way.missing = [row for table in used for row in table.missing]
        way.missing_count = {t.name: t.missing_count for t in used if t.missing_count}
        way.notes = [note for table in used for note in _notes(table)]
        return way

    def require(self, name: str) -> None:
        """Raise InvalidDataset if a table that the user has chosen labels no images."""
        if any(table.name == name for table in self.labelling):
            return
        why = next((t.reason for t in self.unused if t.name == name), "there is no such table")
        tables = ", ".join([t.name for t in self.labelling] + [t.name for t in self.unused])
        raise InvalidDataset(
            f"reading.table: {name!r} can't label the images: {why}. "
            f"Tables of the dataset: {tables or 'none'}"
        )


class _Rejection(NamedTuple):
    """Why a table is not used together with others, and whether it says other labels than they."""

    reason: str
    contradicts: bool = False


def _compatible(
    tables: Iterable[TableLabels], wanted: str | None = None
) -> tuple[list[TableLabels], list[tuple[TableLabels, _Rejection]]]:
    """Return the tables that are used together, the best first, and the others, each with why."""
    used: list[TableLabels] = []
    rejected: list[tuple[TableLabels, _Rejection]] = []
    said: dict[int, str] = {}
    for table in sorted(tables, key=lambda t: (t.certainty, -len(t.images), t.name)):
        chosen_away = wanted not in {None, table.name}
        why = _Rejection(f"{wanted} was chosen") if chosen_away else _why_not(table, used, said)
        if why is not None:
            rejected.append((table, why))
            continue
        used.append(table)
        for image, label in table.images.items():
            said.setdefault(image, label.label)
    return used, rejected


def _why_not(
    table: TableLabels, used: Sequence[TableLabels], said: Mapping[int, str]
) -> _Rejection | None:
    if not used:
        return None
    if used[0].certainty < table.certainty:
        return _Rejection(f"{used[0].name} labels the images, by the names of its columns")
    other = next(
        (i for i, label in table.images.items() if i in said and said[i] != label.label), None
    )
    if other is not None:
        by = next(t for t in used if other in t.images)
        labels = f"{table.images[other].label!r} and {said[other]!r}"
        return _Rejection(f"it contradicts {by.name}, e.g. {labels}", contradicts=True)
    if table.images.keys() <= said.keys():
        return _Rejection(f"it says nothing that {used[0].name} does not say")
    return None


def _same_shape(table: TableLabels, other: TableLabels) -> bool:
    return table.titles() == other.titles() and table.is_clear and other.is_clear


def _table_splits(labels: Sequence[str], splits: Sequence[Split | None]) -> list[Split | None]:
    found = {split for label, split in zip(labels, splits, strict=True) if label and split}
    if found <= {"train"}:
        return [None] * len(splits)
    return settled_splits(labels, splits) if None in found else list(splits)


def _layout(used: Sequence[TableLabels], names: Sequence[str]) -> Layout:
    first = used[0]
    columns, labels = first.columns, first.columns.labels
    titles = list(labels.names) if labels is not None else []
    image, said = next(iter(first.images.items()))
    split = columns.name(columns.split) if columns.split is not None else None
    tables = ", ".join(table.name for table in used)
    if len(titles) == 1:
        text = f"Labels are in the column {titles[0]!r} of {tables}"
    else:
        text = f"Labels are the columns of {tables} that have a 1"
    text += f"; images are named in {columns.name(columns.image)!r}"
    text += f", the split in {split!r}." if split else "."
    return Layout(
        kind="table",
        text=f"{text} E.g. {said.label!r} for {names[image]}.",
        tables=[table.name for table in used],
        image_column=columns.name(columns.image),
        label_columns=titles[:64],
        split_column=split,
    )


def _notes(table: TableLabels) -> list[tuple[str, str]]:
    notes: list[tuple[str, str]] = []
    if table.guessed_encoding:
        read_as = f"it is read as {table.guessed_encoding}, which is the likeliest."
        notes.append(("guess", f"{table.name} is not UTF-8: {read_as}"))
    labels = table.columns.labels
    if labels is None or table.is_clear:
        return notes
    title = labels.names[0] if len(labels.names) == 1 else "the columns of 0 and 1"
    others = ", ".join(map(repr, table.columns.others))
    if labels.certainty != BY_VALUES:
        text = f"{table.name}: {title!r} is taken for the labels. Others could be: {others}."
        return [*notes, ("doubt", text)] if others else notes
    also = f" Others could: {others}." if others else ""
    notes.append(
        ("guess", f"{table.name}: {title!r} is taken for the labels, as its values repeat.{also}")
    )
    return notes
