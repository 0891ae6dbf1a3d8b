"""The ways in which a dataset may say what its images show: by folders or by file names."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from trainer_service.datasets.interpretation.folders import (
    TOLERATED,
    Folders,
    Place,
    Tree,
    label_level,
    read_tree,
)
from trainer_service.datasets.interpretation.merging import form
from trainer_service.datasets.interpretation.words import (
    is_camera_prefix,
    is_code,
    is_no_label,
    part_name,
)
from trainer_service.datasets.records import Split
from trainer_service.requests.reading import LabelSource, ReadingRequest
from trainer_service.store.records.interpretation import Layout

_SHOWN = 3
_TWO = 2

# The label ends with something else than a digit, or a separator parts it from the number.
_PREFIX = re.compile(r"(.*[^\d\s._()-])[\s._-]*\(?\d+\)?|(.*[^\s._()-])[\s._-]+\(?\d+\)?")

_SHARD = 3


@dataclass
class Way:
    """A way to label images, and what it gives.

    Attributes:
        layout: where the labels come from.
        labels: that of each image, in their order; empty if it has none.
        splits: the part of the split of each image.
        reading: what a user sends to have it read so.
        notes: what is to be said of it, as pairs of a kind and a text.
        untrained: by the folders of the split whose labels are none of those that are trained on,
            one of these labels.
        fits: whether it labels nearly all images that it should.
    """

    layout: Layout
    labels: list[str]
    splits: list[Split | None]
    reading: ReadingRequest
    notes: list[tuple[str, str]] = field(default_factory=list)
    untrained: dict[str, str] = field(default_factory=dict)
    fits: bool = True

    @property
    def counts(self) -> Counter[str]:
        return Counter(label for label in self.labels if label)

    @property
    def is_sound(self) -> bool:
        """Whether it gives at least two labels that are no words for something else."""
        labels = self.counts
        if not self.fits or len(set(map(form, labels))) < _TWO:
            return False
        of_cameras = sum(labels[label] for label in labels if is_camera_prefix(label))
        if self.layout.kind == "file names" and of_cameras * 2 > labels.total():
            return False
        return sum(map(is_no_label, labels)) * 2 <= len(labels)


class Images:
    """The names of the images that are labelled, and what their folders say of the split.

    Args:
        names: their paths.
        reading: what the user has decided.
        hashes: of the bytes of each; empty where they are not known.
    """

    def __init__(
        self, names: Sequence[str], reading: ReadingRequest, hashes: Sequence[str]
    ) -> None:
        self.names = names
        self.hashes = hashes
        self.folders: list[Folders] = [tuple(name.split("/")[:-1]) for name in names]
        self.tree: Tree = read_tree(Counter(self.folders), reading.parts)
        apart = {folders: self._part_apart(folders) for folders in self.tree.places}
        self.places: list[Place] = [apart[folders] for folders in self.folders]

    def _part_apart(self, folders: Folders) -> Place:
        """Return where images lie; those of a `test` far from the `train` have no labels."""
        place = self.tree.places[folders]
        if place.part or not self.tree.parts:
            return place
        for depth, name in enumerate(folders):
            part = part_name(name)
            if part is not None and part.split != "train" and not part.rest:
                path = "/".join(folders[: depth + 1])
                self.tree.parts[path] = None
                return Place(None, path)
        return place

    @property
    def splits(self) -> list[Split | None]:
        return [place.split for place in self.places]

    @property
    def depth(self) -> int:
        """In how many folders, one in the other, an image lies at most."""
        return max(map(len, self.folders))

    @property
    def strays(self) -> list[int]:
        """Return the images that lie beside the folders of a split, in none of them."""
        if not self.tree.parts:
            return [index for index, place in enumerate(self.places) if place.beside]
        return [index for index, place in enumerate(self.places) if not place.part]

    def unlabelled_parts(self, labels: Sequence[str]) -> set[str]:
        """Return the folders of the split that hold no labels, or none that is trained on."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for place, label in zip(self.places, labels, strict=True):
            found[place.part][form(label)] += 1
        parts = {part: self.tree.parts.get(part) for part in found if part}
        trained = {
            label for part, split in parts.items() if split == "train" for label in found[part]
        }
        return {
            part
            for part, split in parts.items()
            if split != "train" and _says_no_labels(found[part], split, trained)
        }


def _says_no_labels(labels: Counter[str], split: Split | None, trained: set[str]) -> bool:
    if split is None:
        return True
    if trained <= {""}:
        return False
    total = sum(labels.values())
    return labels[""] > (1 - TOLERATED) * total or not (labels.keys() & (trained - {""}))


def by_folders(images: Images, level: int | None = None) -> Way:
    """Label images by their folders.

    Args:
        images: the images.
        level: which folder of an image's path is its label: 1 for the first, -1 for the one that
            it lies in. By default the tree tells.
    """
    notes: list[tuple[str, str]] = []
    if level is not None:
        labels = [_at(folders, level) for folders in images.folders]
        positions = {level}
    else:
        found = label_level(Counter(images.places))
        chosen = [
            place.levels[found.depth] if len(place.levels) > found.depth else None
            for place in images.places
        ]
        labels = [at.name if at is not None else "" for at in chosen]
        positions = {at.position for at in chosen if at is not None}
        if found.groups and len(set(found.groups)) > 1:
            groups = ", ".join(found.groups[:_SHOWN])
            more = ", …" if len(found.groups) > _SHOWN else ""
            notes.append(
                ("guess", f"The labels are the folders below {groups}{more}, which are none.")
            )
    way = _finished(images, labels, "folders")
    way.fits = way.fits and (level is not None or not _are_shards(images))
    way.notes += notes
    if len(positions) == 1:
        way.layout.level = positions.pop()
        way.reading.level = way.layout.level
    way.layout.text = _describe_folders(images, way)
    return way


def _are_shards(images: Images) -> bool:
    """Return whether folders are the beginnings of the file names, as in `0/1/01ab34cd.jpg`.

    So many files are parted among folders, whatever they show.
    """
    sharded = 0
    letters = deep = False
    for name, place in zip(images.names, images.places, strict=True):
        stem = PurePosixPath(name).stem.lower()
        folders = [level.name.lower() for level in place.levels]
        if not folders or not is_code(stem) or max(map(len, folders)) > _SHARD:
            continue
        sharded += stem.startswith("".join(folders))
        letters |= not stem.isdigit()
        deep |= len(folders) > 1
    return (letters or deep) and sharded >= (1 - TOLERATED) * len(images.names)


def _at(folders: Folders, level: int) -> str:
    place = level - 1 if level > 0 else level
    return folders[place] if -len(folders) <= place < len(folders) else ""


def _describe_folders(images: Images, way: Way) -> str:
    example = next((i for i, label in enumerate(way.labels) if label), None)
    if example is None:
        return "Labels are the names of folders."
    name, label = images.names[example], way.labels[example]
    return f"Labels are the names of folders: {label!r} in {name}."


def by_prefixes(images: Images) -> Way:
    """Label images by what stands before the number in their file names."""
    labels = [prefix_label(name.rpartition("/")[2]) for name in images.names]
    way = _finished(images, labels, "file names")
    example = next((i for i, label in enumerate(way.labels) if label), 0)
    way.layout.text = (
        "Labels are what stands before the number in the file names: "
        f"{way.labels[example]!r} in {images.names[example]}."
    )
    return way


def prefix_label(file_name: str) -> str:
    """Return what stands before the last number of a file's name, or nothing."""
    match = _PREFIX.fullmatch(PurePosixPath(file_name).stem)
    return (match[1] or match[2]) if match else ""


def _finished(images: Images, labels: list[str], kind: LabelSource) -> Way:
    """Return a way without the labels of images that belong to no part of the split."""
    labels = list(labels)
    for index in images.strays:
        labels[index] = ""
    parts = images.unlabelled_parts(labels)
    untrained: dict[str, str] = {}
    expected = missing = 0
    for index, place in enumerate(images.places):
        if place.part in parts:
            if labels[index] and images.tree.parts[place.part]:
                untrained.setdefault(place.part, labels[index])
            labels[index] = ""
        else:
            expected += 1
            missing += not labels[index]
    layout = Layout(kind=kind)
    reading = ReadingRequest(labels=kind)
    fits = expected > 0 and missing <= TOLERATED * expected
    splits = settled_splits(labels, images.splits)
    return Way(layout, labels, splits, reading, untrained=untrained, fits=fits)


def settled_splits(labels: Sequence[str], splits: Sequence[Split | None]) -> list[Split | None]:
    """Return the parts of the split of labelled images; one part alone is none."""
    if len({split for label, split in zip(labels, splits, strict=True) if label}) < _TWO:
        return [None] * len(splits)
    return [split if label else None for label, split in zip(labels, splits, strict=True)]


def same_partition(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether two ways label the same images alike, up to the names of the labels."""
    names: dict[str, str] = {}
    backwards: dict[str, str] = {}
    for one, other in zip(first, second, strict=True):
        if not one or not other:
            continue
        if names.setdefault(one, other) != other or backwards.setdefault(other, one) != one:
            return False
    return bool(names)
