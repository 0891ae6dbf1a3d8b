"""Finds images that are no pictures of what is to be learnt: copies, masks, and what users name."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from trainer_service.datasets.interpretation.words import is_companion, part_name

#: Why a file is left out that the user has named.
AS_ASKED = "left out by the reading"

_MOSTLY = 0.9
_MOST_COPIES = 16
# What annotation tools add to the name of the image that a file belongs to.
_COMPANION_ENDS = (
    *("_mask", "-mask", " mask", "_masks", "_seg", "_segmentation", "_gt", "_annotation"),
    *("_label", "_labels", "_trimap", "_matte", "_depth", "_superpixels"),
)


class LeftOut(NamedTuple):
    """Images that are left out for one reason.

    Attributes:
        images: their positions.
        reason: what is said of each of them.
        text: what is said of them all.
        is_guess: whether their names alone say so.
    """

    images: Sequence[int]
    reason: str
    text: str
    is_guess: bool = False


def ignored(names: Sequence[str], patterns: Sequence[str]) -> LeftOut | None:
    """Return the images that match one of some patterns: names or paths of files or folders."""
    is_one = matcher(patterns)
    found = [index for index, name in enumerate(names) if is_one(name)]
    if not found:
        return None
    return LeftOut(found, AS_ASKED, f"{len(found)} images are ignored, as asked.")


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a file, or a folder around it, matches a pattern.

    It takes no longer for more patterns.
    """
    wanted = {pattern.strip("/") for pattern in patterns}
    return lambda name: bool(wanted) and any(part in wanted for part in _parts(name))


def not_there(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Return the patterns that match no file and no folder."""
    left = {pattern.strip("/") for pattern in patterns}
    for name in names:
        if not left:
            break
        left.difference_update(_parts(name))
    return left


def _parts(name: str) -> Iterator[str]:
    """Yield what patterns may call a file or the folders around it: their names and paths."""
    end = 0
    for part in name.split("/"):
        end += len(part)
        yield part
        yield name[:end]
        end += 1


def copies(names: Sequence[str], hashes: Sequence[str]) -> list[LeftOut]:
    """Return the images of folders that hold, once more, what lies in another folder.

    Archives are often packed with the same folders in them again: `xray/train/…` and
    `xray/xray/train/…`. What lies nearer to the top is kept.
    """
    pairs = _equal_folders(names, hashes)
    if not pairs:
        return []
    totals = _totals(names, {copy for copy, _ in pairs})
    found: list[LeftOut] = []
    taken: set[str] = set()
    for (copy, original), number in sorted(pairs.items(), key=lambda pair: len(pair[0][0])):
        above = (copy[:end] for end, letter in enumerate(copy) if letter == "/")
        if number < _MOSTLY * totals[copy] or copy in taken or any(a in taken for a in above):
            continue
        if original in taken or any(original.startswith(f"{folder}/") for folder in taken):
            continue
        taken.add(copy)
        images = [i for i, name in enumerate(names) if name.startswith(f"{copy}/")]
        kept = f"{original}/" if original else "the folders above it"
        text = f"{copy}/ holds the images of {kept} once more: {len(images)} images are left out."
        found.append(LeftOut(images, f"a copy of what lies in {kept}", text))
    return found


def _equal_folders(names: Sequence[str], hashes: Sequence[str]) -> Counter[tuple[str, str]]:
    """Count the images of which an equal one has the same path below another folder.

    What they share of the path has to have a folder in it, so that equal images of two labels are
    not taken for copies of each other.
    """
    numbers = Counter(hashes)
    by_hash: defaultdict[str, list[str]] = defaultdict(list)
    for name, digest in zip(names, hashes, strict=True):
        if digest and numbers[digest] > 1:
            by_hash[digest].append(name)
    pairs: Counter[tuple[str, str]] = Counter()
    for alike in by_hash.values():
        if len(alike) > _MOST_COPIES:
            continue
        ordered = sorted(alike, key=lambda name: (name.count("/"), name))
        for position, copy in enumerate(ordered):
            for original in ordered[:position]:
                pairs.update(_folders_of_copies(original, copy))
    return pairs


def _folders_of_copies(original: str, copy: str) -> Iterator[tuple[str, str]]:
    """Yield the folders, the copy's first, below which both have the same path."""
    first, second = original.split("/"), copy.split("/")
    for shared in range(1, min(len(first), len(second)) + 1):
        if first[-shared] != second[-shared]:
            return
        above, below = first[:-shared], second[:-shared]
        has_folder = shared > 1
        is_part = any(part_name(name) for name in below if name not in above)
        if has_folder and below and not is_part and len(below) > len(above):
            yield "/".join(below), "/".join(above)


def _totals(names: Sequence[str], folders: set[str]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for name in names:
        end = name.find("/")
        while end >= 0:
            folder = name[:end]
            if folder in folders:
                totals[folder] += 1
            end = name.find("/", end + 1)
    return totals


def companions(names: Sequence[str]) -> list[LeftOut]:
    """Return the images that only say something about other images, such as masks.

    They lie in a folder with such a name beside one with images of the same names, as `masks/1.png`
    does beside `images/1.jpg`; or their own names are those of others with such an end, as
    `1_mask.png` is beside `1.png`.
    """
    by_folder: defaultdict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names):
        by_folder[name.rpartition("/")[0]].append(index)
    found = [*_in_folders(names, by_folder), *_by_ends(names, by_folder)]
    return [out for out in found if out.images]


def _in_folders(names: Sequence[str], by_folder: Mapping[str, Sequence[int]]) -> Iterable[LeftOut]:
    beside = _stems_beside(names, by_folder)
    found: defaultdict[str, list[int]] = defaultdict(list)
    for folder, images in by_folder.items():
        top = _companion_folder(folder)
        if top is None:
            continue
        above = top.rpartition("/")[0]
        stems = [_without_end(_stem(names[index])) for index in images]
        others = beside.get(above, Counter())
        shared = sum(others.get(stem, 0) > 0 for stem in stems)
        if shared >= _MOSTLY * len(stems):
            found[top.rpartition("/")[2]] += images
    for word, images in sorted(found.items()):
        text = (
            f"{len(images)} images in {word}/ are left out: they have the names of other images, "
            "and seem to be drawn over these."
        )
        yield LeftOut(
            sorted(images), f"it lies in {word}/, beside the image of this name", text, True
        )


def _companion_folder(folder: str) -> str | None:
    """Return the uppermost folder of a path that is called like one of masks, if any is."""
    parts = folder.split("/")
    for depth, part in enumerate(parts):
        if part and is_companion(part):
            return "/".join(parts[: depth + 1])
    return None


def _stems_beside(
    names: Sequence[str], by_folder: Mapping[str, Sequence[int]]
) -> dict[str, Counter[str]]:
    """Return the stems of the images below the folders that hold a folder of masks, but for it."""
    parents = {top.rpartition("/")[0] for folder in by_folder if (top := _companion_folder(folder))}
    stems: dict[str, Counter[str]] = {parent: Counter() for parent in parents}
    if not parents:
        return stems
    for name in names:
        folder = name.rpartition("/")[0]
        if _companion_folder(folder) is not None:
            continue
        for parent in parents:
            if not parent or folder == parent or folder.startswith(f"{parent}/"):
                stems[parent][_stem(name)] += 1
    return stems


def _by_ends(names: Sequence[str], by_folder: Mapping[str, Sequence[int]]) -> Iterable[LeftOut]:
    found: list[int] = []
    for images in by_folder.values():
        stems = {_stem(names[index]) for index in images}
        for index in images:
            stem = _stem(names[index])
            if (whole := _without_end(stem)) != stem and whole in stems:
                found.append(index)
    text = (
        f"{len(found)} images are left out: they are called like others with an end such as "
        f"{'_mask'!r}, and seem to be drawn over these."
    )
    yield LeftOut(
        sorted(found), "it is called like another image, and seems to be its mask", text, True
    )


def _without_end(stem: str) -> str:
    """Return a file's stem without `_mask` and the like, also where a number follows: `_mask_1`."""
    shorter = stem.rstrip("0123456789").rstrip("_- ") if stem[-1:].isdigit() else stem
    if not (stem.endswith(_COMPANION_ENDS) or shorter.endswith(_COMPANION_ENDS)):
        return stem
    for end in _COMPANION_ENDS:
        for form in (stem, shorter):
            if form.endswith(end):
                return form[: -len(end)]
    return stem


def _stem(name: str) -> str:
    file = name.rpartition("/")[2].lower()
    return file.rpartition(".")[0] or file
