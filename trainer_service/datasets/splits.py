"""Decides which images are for training, which for validation, and which for the test.

The hash of an image decides, not a seed and not its neighbours: an image stays in its part when
the dataset grows, and two copies of one picture are always in the same part. Of images that are
nearly equal, one stands in for all: whoever knows one of them in training knows the others.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from shared.errors import InvalidRequest
from trainer_service.datasets.records import ImageRecord, Split
from trainer_service.errors import InvalidDataset


class SplitFractions(NamedTuple):
    """The shares of the images, each in [0, 1), that are held back from training."""

    validation: float = 0.15
    test: float = 0.15


class _Unit(NamedTuple):
    """Images that belong in the same part: one, or some that are nearly equal.

    Attributes:
        position: in [0, 1), which decides the part.
        sha256: the image that gives it.
        images: the SHA-256 of each.
    """

    position: float
    sha256: str
    images: tuple[str, ...]


def assign_splits(
    images: list[ImageRecord], fractions: SplitFractions | None = None
) -> dict[str, Split]:
    """Return the part that every used image belongs to, by its sha256.

    An image at u, its hash read as a number in [0, 1), is a test image below `fractions.test`, a
    validation image below `fractions.test + fractions.validation`, a training image above. A label
    that gets none of a part that is asked for gets the image nearest to it from the part that can
    best spare one. Images of a label that are nearly equal go together, unless it has too few
    others for that. A split that the source brings is kept, and what it lacks of validation and
    test is taken from its training images by the same rule.

    Raises:
        InvalidRequest: the fractions are no fractions.
        InvalidDataset: a label has too few images, or none to train on.
    """
    fractions = fractions or SplitFractions()
    _check_fractions(fractions)
    used = [image for image in images if image.verdict == "used"]
    brought: dict[str, Split] = {i.sha256: i.split for i in used if i.split is not None}
    if brought:
        _check_brought(used)
        fractions = _without(fractions, set(brought.values()))
    by_label: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for image in used:
        if image.split in {None, "train"}:
            by_label[image.label].append(image)
    parts = 1 + (fractions.validation > 0) + (fractions.test > 0)
    _check_counts(by_label, parts)
    splits = dict(brought)
    for members in by_label.values():
        splits.update(_split_label(_units(members, parts), fractions))
    return splits


def stand_in(group: Iterable[str]) -> str:
    """Return which image of a group of near doubles gives all of them their part.

    It is the one whose hash ends lowest. Its beginning, which says the part, does not depend on
    that: so a group is not more likely to be in one part than a single image is.

    Args:
        group: the SHA-256 of each.
    """
    return min(group, key=lambda sha256: sha256[::-1])


def _units(images: list[ImageRecord], parts: int) -> list[_Unit]:
    """Return the images of a label, those that are nearly equal together, if that gives enough."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        groups[image.double_of or image.sha256].append(image.sha256)
    if len(groups) < parts:
        groups = defaultdict(list, {image.sha256: [image.sha256] for image in images})
    return sorted(
        _Unit(_position(sha256), sha256, tuple(members)) for sha256, members in groups.items()
    )


def _check_fractions(fractions: SplitFractions) -> None:
    if min(fractions) < 0 or sum(fractions) >= 1:
        raise InvalidRequest(
            "The fractions of validation and test must be at least 0 and together below 1. "
            f"Received: validation={fractions.validation}, test={fractions.test}"
        )


def _without(fractions: SplitFractions, parts: set[Split]) -> SplitFractions:
    return SplitFractions(
        validation=0.0 if "validation" in parts else fractions.validation,
        test=0.0 if "test" in parts else fractions.test,
    )


def _position(sha256: str) -> float:
    return int(sha256[:16], 16) / 2**64


def _split_label(units: list[_Unit], fractions: SplitFractions) -> dict[str, Split]:
    held_back = fractions.test + fractions.validation
    splits: dict[str, Split] = {}
    for unit in units:
        if unit.position < fractions.test:
            splits[unit.sha256] = "test"
        else:
            splits[unit.sha256] = "validation" if unit.position < held_back else "train"
    bounds: dict[Split, tuple[float, float]] = {
        "test": (0.0, fractions.test),
        "validation": (fractions.test, held_back),
        "train": (held_back, 1.0),
    }
    for part, (low, high) in bounds.items():
        if high > low and part not in splits.values():
            splits[_nearest(units, splits, low, high).sha256] = part
    return {sha256: splits[unit.sha256] for unit in units for sha256 in unit.images}


def _nearest(units: list[_Unit], splits: dict[str, Split], low: float, high: float) -> _Unit:
    """Return the unit nearest to a part's range whose own part keeps one without it."""
    sizes = Counter(splits.values())
    spare = (unit for unit in units if sizes[splits[unit.sha256]] > 1)
    return min(spare, key=lambda i: (max(low - i.position, i.position - high), i.sha256))


def _check_counts(by_label: dict[str, list[ImageRecord]], minimum: int) -> None:
    few = {label: len(members) for label, members in by_label.items() if len(members) < minimum}
    if few:
        raise InvalidDataset(
            f"Every label needs at least {minimum} images, to have one in each part of the split. "
            f"Too few: {_counts(few)}"
        )


def _check_brought(images: list[ImageRecord]) -> None:
    trained = {image.label for image in images if image.split in {None, "train"}}
    missing = Counter(image.label for image in images if image.label not in trained)
    if missing:
        raise InvalidDataset(
            "Every label of the dataset's validation and test parts needs images in its train "
            f"part. Without any: {_counts(missing)}"
        )


def _counts(labels: dict[str, int]) -> str:
    shown = sorted(labels.items())[:10]
    text = ", ".join(f"{label!r} ({count})" for label, count in shown)
    return text if len(labels) <= len(shown) else f"{text} and {len(labels) - len(shown)} more"
