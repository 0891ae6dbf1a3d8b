"""Reads the tree of a dataset's folders: which are parts of a split, and which name labels.

The folders of an image are reduced to those that may be its label. Left out are folders around
everything (`pets/`), those of a split (`train/`), those that only say that images are in them
(`images/`), and those that repeat what stands above them (`seg_train/seg_train/`). Of what is left
the first is the label, unless the same folders lie below each of the first ones, as in
`amazon/mug`, `amazon/lamp`, `webcam/mug`, `webcam/lamp`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trainer_service.datasets.interpretation.words import (
    PartName,
    are_groups,
    are_numbered,
    is_container,
    part_name,
    split_folders,
)
from trainer_service.datasets.records import Split

#: Up to this share of the images may not fit, and the rest goes on without them.
TOLERATED = 0.1
_REPEATED = 0.8
# Labels lie in none of the folders below.
_MOST_LEVELS = 8

Folders = tuple[str, ...]


class Level(NamedTuple):
    """A folder that may be a label: its name, and its place in the path, 1 for the first."""

    name: str
    position: int


class Place(NamedTuple):
    """What the folders of an image say.

    Attributes:
        split: the part of the split that it lies in, if any.
        part: the folder that says so.
        beside: whether it lies beside the folders of a split, in none of them.
        levels: the folders that may be its label, the uppermost first.
    """

    split: Split | None = None
    part: str = ""
    beside: bool = False
    levels: tuple[Level, ...] = ()


class Tree(NamedTuple):
    """The folders of a dataset.

    Attributes:
        places: by the folders of an image, where it lies.
        parts: the folders of the split, and the part that each is; None if it has no labels.
    """

    places: dict[Folders, Place]
    parts: dict[str, Split | None]


class _Listing:
    """What lies in a folder, of which a range of the sorted paths is known.

    Attributes:
        children: the range of each folder in it.
        totals: the images below each.
        images: the images in the folder itself.
        total: the images in it and below.
    """

    def __init__(self, paths: Sequence[tuple[Folders, int]], inside: range, depth: int) -> None:
        self.children: dict[str, range] = {}
        self.totals: Counter[str] = Counter()
        self.images = 0
        for index in inside:
            path, images = paths[index]
            if len(path) == depth:
                self.images += images
                continue
            name = path[depth]
            start = self.children[name].start if name in self.children else index
            self.children[name] = range(start, index + 1)
            self.totals[name] += images
        self.total = self.images + self.totals.total()


def read_tree(folders: Mapping[Folders, int], splits: Mapping[str, Split] | None = None) -> Tree:
    """Return what the folders of a dataset say.

    Args:
        folders: how many images lie directly in each.
        splits: the parts that the user has said folders to be, by their paths or names.
    """
    reader = _TreeReader(splits or {})
    paths = sorted(folders.items())
    stack: list[tuple[range, Folders, Place]] = [(range(len(paths)), (), Place())]
    while stack:
        inside, path, place = stack.pop()
        listing = _Listing(paths, inside, len(path))
        if listing.images:
            reader.placed[path] = place
        places = reader.below(listing, path, place)
        stack += [(below, (*path, name), places[name]) for name, below in listing.children.items()]
    return Tree(reader.placed, reader.parts)


class _TreeReader:
    """Tells where the images of a folder lie, given what lies beside it."""

    def __init__(self, splits: Mapping[str, Split]) -> None:
        self.placed: dict[Folders, Place] = {}
        self.parts: dict[str, Split | None] = {}
        self._splits = splits

    def below(self, parent: _Listing, above: Folders, place: Place) -> dict[str, Place]:
        """Return the place of what lies in each folder in another one.

        Args:
            parent: what lies in that.
            above: its path.
            place: its own place.
        """
        names = parent.children.keys()
        parts = None if place.part else self._parts(names, above)
        if parts is None and (main := _main_container(parent)) is not None:
            beside = place._replace(beside=True)
            return {name: place if name == main else beside for name in names}
        are_containers = parts is None and all(map(is_container, names))
        found: dict[str, Place] = {}
        for name in names:
            path = (*above, name)
            if parts is not None:
                found[name] = self._in_part(path, place, parts.get(name))
            elif (
                are_containers
                or len(place.levels) == _MOST_LEVELS
                or _adds_nothing(parent, name, place)
            ):
                found[name] = place
            else:
                found[name] = place._replace(levels=(*place.levels, Level(name, len(path))))
        return found

    def _in_part(self, path: Folders, place: Place, part: PartName | None) -> Place:
        """Return the place of what lies in a part of a split, or in a folder beside the parts."""
        if part is None:
            return place._replace(beside=True)
        self.parts["/".join(path)] = part.split
        levels = (*place.levels, Level(part.rest, len(path))) if part.rest else place.levels
        return Place(part.split, "/".join(path), levels=levels)

    def _parts(self, names: Iterable[str], above: Folders) -> dict[str, PartName] | None:
        names = list(names)
        said = {
            name: PartName(self._splits[key], "")
            for name in names
            for key in ("/".join((*above, name)), name)
            if key in self._splits
        }
        found = split_folders([name for name in names if name not in said])
        return {**(found or {}), **said} or None


def _adds_nothing(parent: _Listing, name: str, place: Place) -> bool:
    """Return whether a folder is the only one in another, and only holds what is in it."""
    alone = len(parent.children) == 1 and parent.images <= TOLERATED * parent.total
    if not alone or place.levels:
        return False
    if not place.part:
        return True
    part = part_name(name)
    return part is not None and part.split == place.split


def _main_container(parent: _Listing) -> str | None:
    """Return the folder like `images` that nearly all images below a folder lie in, if any."""
    for name, total in parent.totals.items():
        if total >= (1 - TOLERATED) * parent.total and is_container(name):
            return name
    return None


class LabelLevel(NamedTuple):
    """Which of the levels is the label's.

    Attributes:
        depth: its index in `Place.levels`.
        groups: the names of the folders above it that are passed over, if it is not the first.
    """

    depth: int
    groups: Sequence[str] = ()


def label_level(places: Mapping[Place, int]) -> LabelLevel:
    """Return the level of the folders that name labels, given how many images lie in each place.

    It is the first one, unless nearly all of the names below it lie below several of its folders.
    """
    index = 0
    groups: list[str] = []
    while (above := _groups_at(places, index)) is not None:
        groups += above
        index += 1
    return LabelLevel(index, groups)


def _groups_at(places: Mapping[Place, int], index: int) -> list[str] | None:
    """Return the folders of a level if they are groups of the labels below them, else None."""
    below: defaultdict[str, Counter[str]] = defaultdict(Counter)
    deep = images = 0
    for place, count in places.items():
        if len(place.levels) > index:
            images += count
        if len(place.levels) > index + 1:
            deep += count
            below[place.levels[index].name][place.levels[index + 1].name] += count
    if not below or deep < (1 - TOLERATED) * images:
        return None
    names = sorted(below)
    children = {child for counts in below.values() for child in counts}
    if len(names) == 1 or _are_initials(below):
        return names
    if not _are_repeated(below) or (are_numbered(children) and not are_groups(names)):
        return None
    return names


def _are_initials(below: Mapping[str, Counter[str]]) -> bool:
    """Return whether names are the first letters of those below them: `a/abbey`, `b/bar`."""
    return all(
        len(name) == 1 and all(len(c) > 1 and c.lower().startswith(name.lower()) for c in counts)
        for name, counts in below.items()
    )


def _are_repeated(below: Mapping[str, Counter[str]]) -> bool:
    """Return whether most images lie in folders whose names lie below several others."""
    above = Counter(child for counts in below.values() for child in counts)
    repeated = {child for child, number in above.items() if number > 1}
    images = sum(sum(counts.values()) for counts in below.values())
    inside = sum(n for counts in below.values() for child, n in counts.items() if child in repeated)
    return len(repeated) > 1 and inside >= _REPEATED * images
