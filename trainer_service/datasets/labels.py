"""Finds out how a dataset says what its images show.

Understood, in this order:

1. A CSV above all images, with a column for the file and one for the label, found by their
   headers (file, filename, image, path, … and label, class, category, …), or else with two
   columns of which the first names files. A third column may hold the split. A file may be named
   with or without its folders and its suffix. Images that the CSV does not name are unlabelled. A
   CSV that names fewer than half of the images counts only where 2 and 3 don't fit.
2. Folders: the first folder of an image is its label, whatever lies below.
3. File-name prefixes: what stands before the last number, as in `cat.123.jpg`, `dog_12.png`,
   `3.0123.png`, `cat-7.jpg`.

First, folders that all images share are left out (`pets/cat/1.jpg` is `cat/1.jpg`), and
`train|training`, `val|valid|validation|dev|eval`, `test|testing` at the top, in any case, are taken
for the split, if there are two of these and one is train; labels follow below in one of the three
ways. So a label folder called `test` is a label as long as there is no `train` beside it. Images
that lie beside the folders of a split are unlabelled if they are a tenth at most, and else refused.

If all images are in folders the folders are the labels, whatever the files are called. Where a
few images, up to a tenth, don't fit (they lie beside the label folders, or have no number in
their name), they are unlabelled and the rest goes on; more than that is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from typing import NamedTuple

from trainer_service.datasets.records import Layout, Split
from trainer_service.datasets.tables import SPLIT_NAMES, Row, TableReader, match_rows
from trainer_service.errors import InvalidDataset

UNDERSTOOD = (
    "Understood are: a folder per label (cat/1.jpg, dog/2.jpg), the label before the number in the "
    "file name (cat.1.jpg, dog_2.png), or a CSV with the columns file and label; each of them also "
    "below train/, validation/ and test/."
)

MOST_LINES = 1_000_000

_TOLERATED = 0.1
_SHOWN = 3

# The label ends with something else than a digit, or a separator parts it from the number.
_PREFIX = re.compile(r"(.*[^\d\s._()-])[\s._-]*\(?\d+\)?|(.*[^\s._()-])[\s._-]+\(?\d+\)?")


class Labelled(NamedTuple):
    """The label and the split of an image; the label is empty if it has none."""

    label: str
    split: Split | None


class Labelling(NamedTuple):
    """How the labels were found, and the label of every image, in the order of the names.

    `missing` are the rows of a CSV that name no image.
    """

    layout: Layout
    has_split: bool
    images: list[Labelled]
    missing: Sequence[Row] = ()


def find_labels(
    names: Sequence[str], tables: Mapping[str, bytes], most_lines: int = MOST_LINES
) -> Labelling:
    """Label the images of a dataset.

    Args:
        names: clean relative paths of all images.
        tables: the CSV files of the dataset, by their clean relative paths.
        most_lines: so many may those that label images have together.

    Raises:
        InvalidDataset: none of the ways fits, or a CSV contradicts itself.
        TooLarge: there are more lines than that.
    """
    paths = [PurePosixPath(name) for name in names]
    from_csv = _from_tables(paths, tables, most_lines)
    if from_csv is not None and _unlabelled(from_csv) <= len(names) / 2:
        return from_csv
    try:
        return _from_names(paths)
    except InvalidDataset:
        if from_csv is None:
            raise
        return from_csv


def _unlabelled(labelling: Labelling) -> int:
    return sum(not image.label for image in labelling.images)


def _from_names(paths: Sequence[PurePosixPath]) -> Labelling:
    depth = _depth(paths)
    parts = [path.parts[depth:] for path in paths]
    splits = _splits(parts)
    if splits is None:
        return _from_parts(parts, [None] * len(parts))
    inside = [index for index, split in enumerate(splits) if split is not None]
    if len(parts) - len(inside) > _TOLERATED * len(parts):
        raise InvalidDataset(_describe_beside(parts, splits))
    below = [PurePosixPath(*parts[index][1:]) for index in inside]
    depth = _depth(below)
    found = _from_parts([path.parts[depth:] for path in below], [splits[i] for i in inside])
    images = [Labelled("", None)] * len(parts)
    for index, labelled in zip(inside, found.images, strict=True):
        images[index] = labelled
    return found._replace(images=images)


def prefix_label(file_name: str) -> str:
    """Return what stands before the last number of a file's name, or nothing."""
    match = _PREFIX.fullmatch(PurePosixPath(file_name).stem)
    return (match[1] or match[2]) if match else ""


def _depth(paths: Sequence[PurePosixPath]) -> int:
    """Return how many folders all paths share, keeping one that would be the only label."""
    shared = 0
    folders = [path.parts[:-1] for path in paths]
    shortest = min(map(len, folders))
    while shared < shortest and len({parts[shared] for parts in folders}) == 1:
        shared += 1
    if shared == 0 or shared < max(map(len, folders)):
        return shared
    without = sum(not prefix_label(path.name) for path in paths)
    return shared if without <= _TOLERATED * len(paths) else shared - 1


def _splits(parts: Sequence[tuple[str, ...]]) -> list[Split | None] | None:
    """Return the part of the split that each image lies in, if any; None if there is no split."""
    tops = [part[0].lower() if len(part) > 1 else "" for part in parts]
    splits = [SPLIT_NAMES.get(top) for top in tops]
    found = {split for split in splits if split is not None}
    if "train" in found and (len(found) > 1 or set(tops) <= SPLIT_NAMES.keys()):
        return splits
    return None


def _describe_beside(parts: Sequence[tuple[str, ...]], splits: Sequence[Split | None]) -> str:
    folders = sorted({part[0] for part, split in zip(parts, splits, strict=True) if split})
    beside = ["/".join(p) for p, split in zip(parts, splits, strict=True) if split is None]
    return (
        f"The folders {', '.join(folders)} look like the parts of a split, and {len(beside)} "
        f"images lie beside them (e.g. {', '.join(beside[:_SHOWN])}). Move these into one of the "
        "parts, or leave them out"
    )


def _from_parts(parts: Sequence[tuple[str, ...]], splits: Sequence[Split | None]) -> Labelling:
    by_folder = [part[0] if len(part) > 1 else "" for part in parts]
    by_prefix = ["" if len(part) > 1 else prefix_label(part[0]) for part in parts]
    ways: tuple[tuple[Layout, list[str]], ...] = (("folders", by_folder), ("prefix", by_prefix))
    for layout, labels in ways:
        if labels.count("") <= _TOLERATED * len(labels):
            images = _align_case(list(map(Labelled, labels, splits)))
            return Labelling(layout, any(splits), images)
    raise InvalidDataset(_describe_mixture(parts))


def _align_case(images: list[Labelled]) -> list[Labelled]:
    """Spell the labels of validation and test as train does, if case is all that differs."""
    trained = {image.label for image in images if image.split in {None, "train"}}
    spellings = {label.lower(): label for label in sorted(trained)}
    return [
        image
        if image.label in trained
        else image._replace(label=spellings.get(image.label.lower(), image.label))
        for image in images
    ]


def _describe_mixture(parts: Sequence[tuple[str, ...]]) -> str:
    kinds: tuple[tuple[str, Callable[[tuple[str, ...]], bool]], ...] = (
        ("in folders", lambda part: len(part) > 1),
        ("with a label in the file name", lambda part: len(part) == 1 and _has_prefix(part)),
        ("with neither", lambda part: len(part) == 1 and not _has_prefix(part)),
    )
    found = []
    for kind, belongs in kinds:
        examples = ["/".join(part) for part in parts if belongs(part)]
        if examples:
            found.append(f"{len(examples)} {kind} (e.g. {', '.join(examples[:_SHOWN])})")
    return f"Can't tell the labels of the images. Found: {'; '.join(found)}. {UNDERSTOOD}"


def _has_prefix(part: tuple[str, ...]) -> bool:
    return bool(prefix_label(part[-1]))


def _from_tables(
    paths: Sequence[PurePosixPath], tables: Mapping[str, bytes], most_lines: int
) -> Labelling | None:
    """Label by the CSV files that lie in a folder above all images, if they name any of these."""
    above = _shared_folders(paths) if tables else set()
    counting = {n: data for n, data in sorted(tables.items()) if PurePosixPath(n).parent in above}
    if not counting:
        return None
    reader = TableReader(most_lines)
    matched, missing = match_rows([str(path) for path in paths], _rows(counting, reader))
    reader.require_whole(matched.values())
    if not matched:
        return None
    _check_splits(paths, matched)
    images = [Labelled("", None)] * len(paths)
    for index, row in matched.items():
        images[index] = Labelled(row.label, row.split)
    in_folders = _split_of_folders(paths)
    if not any(image.split for image in images) and in_folders is not None:
        images = [Labelled(i.label, s) for i, s in zip(images, in_folders, strict=True)]
    return Labelling("csv", any(image.split for image in images), images, missing)


def _check_splits(paths: Sequence[PurePosixPath], matched: Mapping[int, Row]) -> None:
    """Refuse a split of which some words are unknown: what they hold back would be trained on."""
    if any(row.split for row in matched.values()):
        for index, row in matched.items():
            if row.unknown_split:
                raise InvalidDataset(
                    f"{row.table}: the split of {str(paths[index])!r} is not known. Expected "
                    f"train, validation or test. Received: {row.unknown_split!r}"
                )


def _split_of_folders(paths: Sequence[PurePosixPath]) -> list[Split | None] | None:
    depth = _depth(paths)
    splits = _splits([path.parts[depth:] for path in paths])
    return splits if splits and None not in splits else None


def _rows(tables: Mapping[str, bytes], reader: TableReader) -> Iterator[Row]:
    for name, data in tables.items():
        split = SPLIT_NAMES.get(PurePosixPath(name).stem.lower())
        for row in reader.rows(name, data):
            yield row if row.split else row._replace(split=split)


def folders_above(names: Sequence[str]) -> set[PurePosixPath]:
    """Return the folders that lie above all images, where tables have to lie that label them."""
    return _shared_folders([PurePosixPath(name) for name in names])


def _shared_folders(paths: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    folders = [path.parts[:-1] for path in paths]
    # What the first and the last of them share, those between them share too.
    pairs = zip(min(folders), max(folders), strict=False)
    shared = [first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return {PurePosixPath(*shared[:length]) for length in range(len(shared) + 1)}
