"""Decides which images are for training, which for validation, and which for the test.

The hash of an image decides, not a seed and not its neighbours: an image stays in its part when
the dataset grows, and two copies of one picture are always in the same part.
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from shared.errors import InvalidRequest
from trainer_service.datasets.records import ImageRecord, Split
from trainer_service.errors import InvalidDataset


class SplitFractions(NamedTuple):
    """The shares of the images, each in [0, 1), that are held back from training."""

    validation: float = 0.15
    test: float = 0.15


class _Image(NamedTuple):
    position: float
    sha256: str


def assign_splits(
    images: list[ImageRecord], fractions: SplitFractions | None = None
) -> dict[str, Split]:
    """Return the part that every used image belongs to, by its sha256.

    An image at u, its hash read as a number in [0, 1), is a test image below `fractions.test`, a
    validation image below `fractions.test + fractions.validation`, a training image above. A label
    that gets none of a part that is asked for gets the image nearest to it from the part that can
    best spare one. A split that the source brings is kept, and what it lacks of validation and
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
    by_label: defaultdict[str, list[_Image]] = defaultdict(list)
    for image in used:
        if image.split in {None, "train"}:
            by_label[image.label].append(_Image(_position(image.sha256), image.sha256))
    _check_counts(by_label, 1 + (fractions.validation > 0) + (fractions.test > 0))
    splits = dict(brought)
    for members in by_label.values():
        splits.update(_split_label(sorted(members), fractions))
    return splits


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


def _split_label(images: list[_Image], fractions: SplitFractions) -> dict[str, Split]:
    held_back = fractions.test + fractions.validation
    splits: dict[str, Split] = {}
    for image in images:
        if image.position < fractions.test:
            splits[image.sha256] = "test"
        else:
            splits[image.sha256] = "validation" if image.position < held_back else "train"
    bounds: dict[Split, tuple[float, float]] = {
        "test": (0.0, fractions.test),
        "validation": (fractions.test, held_back),
        "train": (held_back, 1.0),
    }
    for part, (low, high) in bounds.items():
        if high > low and part not in splits.values():
            splits[_nearest(images, splits, low, high).sha256] = part
    return splits


def _nearest(images: list[_Image], splits: dict[str, Split], low: float, high: float) -> _Image:
    """Return the image nearest to a part's range whose own part keeps one without it."""
    sizes = Counter(splits.values())
    spare = (image for image in images if sizes[splits[image.sha256]] > 1)
    return min(spare, key=lambda i: (max(low - i.position, i.position - high), i.sha256))


def _check_counts(by_label: dict[str, list[_Image]], minimum: int) -> None:
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
