"""Labels the images that were found, decides which are used, and summarises the dataset."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from shared.errors import TooLarge
from trainer_service.datasets.doubles import groups_of
from trainer_service.datasets.interpretation.describe import UNDERSTOOD
from trainer_service.datasets.interpretation.interpret import Interpreted, Labelled, interpret
from trainer_service.datasets.interpretation.left_out import matcher
from trainer_service.datasets.records import (
    DatasetSummary,
    DoubleGroup,
    ImageRecord,
    RejectedFile,
    count_doubles,
    digest_of,
    save_images,
)
from trainer_service.datasets.scan.found import Found
from trainer_service.datasets.scan.verdicts import Note, settle
from trainer_service.datasets.sources.names import clean_name, shown
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.interpretation import ReadingNote, UnusedFile
from trainer_service.store.records.parts import CrowdCount

MAX_TABLE_BYTES = 64 << 20

_SHOWN = 3
_MOST_LISTED = 50


class Origin(NamedTuple):
    """Where a dataset comes from.

    Attributes:
        name: what errors call it.
        most_files: how many files it may have, and how many lines its tables.
    """

    name: str
    most_files: int


def conclude(
    directory: Path, found: Found, origin: Origin, reading: ReadingRequest | None = None
) -> DatasetSummary:
    """Label the images that were found, and write `<directory>/images.jsonl`.

    Args:
        directory: that of the dataset.
        found: its images and tables.
        origin: where it comes from.
        reading: what the user has decided.

    Raises:
        InvalidDataset: fewer than two labels were found, or what says them is contradictory.
        TooLarge: the tables are.
    """
    said = _label(found, origin.most_files, reading)
    records = list(settle(found.notes, said.images))
    _check_usable(records, origin.name, said)
    save_images(directory, records)
    return _summarise(records, said, found)


def _label(found: Found, most_lines: int, reading: ReadingRequest | None) -> Interpreted:
    """Label the images; the names of images that are refused anyway have no influence."""
    notes = found.notes
    is_ignored = matcher(reading.ignore if reading is not None else ())
    _refuse_large_tables([name for name in found.large_tables if not is_ignored(name)])
    closed = {name: why for name, why in found.closed_tables.items() if not is_ignored(name)}
    _refuse_closed_tables([note.name for note in notes], closed)

    def label(chosen: Sequence[Note]) -> Interpreted:
        names, hashes = [n.name for n in chosen], [n.sha256 for n in chosen]
        return interpret(names, found.tables, hashes, reading, most_lines)

    usable = [index for index, note in enumerate(notes) if note.verdict == "used"]
    if len(usable) in {0, len(notes)}:
        return label(notes)
    said = label([notes[index] for index in usable])
    with suppress(InvalidDataset):
        of_all = label(notes)
        if [of_all.images[index] for index in usable] == said.images:
            return of_all
    images = [Labelled("", None)] * len(notes)
    for index, labelled in zip(usable, said.images, strict=True):
        images[index] = labelled
    return said._replace(images=images)


def _refuse_large_tables(tables: Sequence[str]) -> None:
    if tables:
        raise TooLarge(
            f"{tables[0]} labels the images, but is too large: the tables of a dataset "
            f"may have {MAX_TABLE_BYTES} bytes in all. Leave out what labels no images"
        )


def _refuse_closed_tables(names: Sequence[str], tables: dict[str, str]) -> None:
    """Raise InvalidDataset if a table that may label the images can't be opened."""
    if not tables:
        return
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    for table, reason in tables.items():
        if str(PurePosixPath(table).parent) in folders:
            raise InvalidDataset(
                f"{table} can't be read, and may be what labels the images: {reason}. Make it "
                "readable, or leave it out"
            )


def _check_usable(records: Sequence[ImageRecord], name: str, said: Interpreted) -> None:
    labels = Counter(record.label for record in records if record.verdict == "used")
    if not labels:
        examples = "; ".join(f"{r.name}: {r.detail}" for r in records[:_SHOWN])
        raise InvalidDataset(
            f"None of the {len(records)} images in {name!r} can be used. E.g. {examples}"
        )
    if len(labels) == 1:
        [(label, count)] = labels.items()
        raise InvalidDataset(
            f"A classifier needs at least two labels. Found in {name!r}: one label, "
            f"{label!r}, with {count} usable images. {_describe_lost(records, label)}"
            f"{_describe_unused(said.interpretation.unused)}{UNDERSTOOD}"
        )


def _describe_lost(records: Sequence[ImageRecord], label: str) -> str:
    """Describe the other labels, which have no image that can be used."""
    lost = [record for record in records if record.verdict != "used" and record.label != label]
    if not lost:
        return ""
    examples = "; ".join(f"{record.name}: {record.detail}" for record in lost[:_SHOWN])
    return f"{len(lost)} images beside them can't be used, e.g. {examples}. "


def _describe_unused(tables: Sequence[UnusedFile]) -> str:
    return "".join(f"{table.name} is not used: {table.reason}. " for table in tables[:_SHOWN])


def _summarise(records: list[ImageRecord], said: Interpreted, found: Found) -> DatasetSummary:
    used = [record for record in records if record.verdict == "used"]
    interpretation = said.interpretation
    unused = [*interpretation.unused, *_unknown_files(found)]
    guesses = [ReadingNote(kind="guess", text=text) for text in found.guesses]
    doubles = groups_of(records)
    told = [*guesses, *_double_notes(doubles, found.crowds), *interpretation.notes]
    notes = [*told, *_litter_notes(found)]
    return DatasetSummary(
        images=len(used),
        labels=dict(sorted(Counter(record.label for record in used).items())),
        rejected=[*rejected_of(records), *found.told, *_missing(said)],
        ignored=found.ignored + len(interpretation.unused),
        interpretation=interpretation.model_copy(
            update={"unused": unused[:_MOST_LISTED], "notes": notes[:_MOST_LISTED]}
        ),
        has_split=said.has_split,
        doubles=doubles,
        crowds=found.crowds,
        digest=digest_of(used),
        in_place=found.in_place,
    )


def _unknown_files(found: Found) -> Iterator[UnusedFile]:
    """Name the files that are neither images nor tables; the first, if there are many of a kind."""
    for suffix, number in sorted(found.others.items()):
        names = found.examples.get(suffix, [])
        if number <= len(names):
            for name in names:
                yield UnusedFile(name=name, reason="it is neither an image nor a table")
        elif names:
            kind = f"{suffix} files" if suffix else "files without a suffix"
            reason = f"one of {number} {kind}, which are neither images nor tables"
            yield UnusedFile(name=names[0], reason=reason)


def _litter_notes(found: Found) -> Iterator[ReadingNote]:
    for folder, number in found.litter.most_common(_SHOWN):
        files = "file is" if number == 1 else "files are"
        text = f"{number} {files} left out in {folder}/, as systems and tools write such folders."
        yield ReadingNote(kind="left out", text=text)


def _double_notes(doubles: list[DoubleGroup], crowds: CrowdCount) -> Iterator[ReadingNote]:
    found = count_doubles(doubles, crowds)
    if found.leaks:
        text = f"{found.leaks} of these lie in several parts of the split: {found.example}, say."
    else:
        text = "Each is kept in one part of the split where its labels have enough other images."
    if doubles:
        groups = "1 group" if found.groups == 1 else f"{found.groups} groups"
        said = f"{found.images} images are nearly equal to others, in {groups}. {text}"
        yield ReadingNote(kind="doubles", text=said)
    if crowds.groups:
        yield ReadingNote(kind="doubles", text=crowds.in_words())


def _missing(said: Interpreted) -> Iterator[RejectedFile]:
    """List the missing files that tables name: the first ones, and the number of the others."""
    named = Counter(row.table for row in said.missing)
    for row in said.missing:
        detail = f"{row.table} names it, but there is no such image"
        name, label = clean_name(shown(row.file)), shown(row.label)
        yield RejectedFile(name=name, label=label, verdict="missing", detail=detail)
    for table, number in said.missing_count.items():
        if number > named[table]:
            detail = f"names {number - named[table]} more files that are not there"
            yield RejectedFile(name=table, label="", verdict="missing", detail=detail)


def rejected_of(records: Iterable[ImageRecord]) -> list[RejectedFile]:
    """Return the images that are not used, as lists of rejected files show them."""
    return [
        RejectedFile(name=r.name, label=r.label, verdict=r.verdict, detail=r.detail)
        for r in records
        if r.verdict != "used"
    ]
