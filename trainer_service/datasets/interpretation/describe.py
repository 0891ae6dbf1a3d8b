"""Says in words what was found in a dataset, and how else it could be read."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import cast

from trainer_service.datasets.interpretation.merging import merge_alike
from trainer_service.datasets.interpretation.ways import Images, Way, prefix_label
from trainer_service.datasets.interpretation.words import are_groups
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.interpretation import PossibleReading, ReadingNote, UnusedFile

UNDERSTOOD = (
    "Understood are: a folder per label (cat/1.jpg, dog/2.jpg), the label before the number in the "
    "file name (cat.1.jpg, dog_2.png), or a table with a column for the file and one for the "
    "label; each of them also below train/, validation/ and test/."
)

_SHOWN = 3
_TWO = 2


def describe_mixture(images: Images, unused: Sequence[UnusedFile]) -> str:
    """Say what kinds of images there are where none of the ways fits."""
    kinds = ("in folders", "with a label in the file name", "with neither")
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, place in zip(images.names, images.places, strict=True):
        if place.levels:
            kind = kinds[0]
        else:
            kind = kinds[1] if prefix_label(name.rpartition("/")[2]) else kinds[2]
        found[kind].append(name)
    said = [
        f"{len(found[kind])} {kind} (e.g. {', '.join(found[kind][:_SHOWN])})"
        for kind in kinds
        if found[kind]
    ]
    tables = "".join(
        f" {table.name} does not say them: {table.reason}." for table in unused[:_SHOWN]
    )
    return f"Can't tell the labels of the images. Found: {'; '.join(said)}.{tables} {UNDERSTOOD}"


def describe_file_names(images: Images) -> str:
    """Say that no file name holds a label."""
    files = [name.rpartition("/")[2] for name in images.names]
    return (
        "no file name has a label before its number, as cat.1.jpg and dog_2.png have. The images "
        f"are called {_examples(files)}."
    )


def describe_folders(images: Images) -> str:
    """Say that no folder is the label of an image, without those that say something else."""
    return (
        "no image lies in a folder that may be its label, as in cat/1.jpg. The images are "
        f"{_examples(images.names)}. Say with reading.level which of their folders is the label, "
        "if one is."
    )


def describe_tables(unused: Sequence[UnusedFile]) -> str:
    """Say why no table labels images."""
    if not unused:
        return "there is no table in the dataset, as labels.csv with the columns file and label."
    reasons = ". ".join(f"{table.name}: {table.reason}" for table in unused[:_SHOWN])
    return (
        f"no table of the dataset labels its images. {reasons}. Say with reading.table and "
        "reading.columns which columns hold the images and the labels, if one does."
    )


def _examples(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def describe_strays(images: Images, strays: Sequence[int]) -> str:
    parts = sorted(part.rpartition("/")[2] for part in images.tree.parts)
    beside = ", ".join(images.names[index] for index in strays[:_SHOWN])
    return (
        f"The folders {', '.join(parts)} look like the parts of a split, and {len(strays)} "
        f"images lie beside them (e.g. {beside}). Move these into one of the parts, or leave them "
        "out"
    )


def unlabelled_notes(images: Images, way: Way) -> list[ReadingNote]:
    """Say which images have no label, by the folders that they lie in."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, place, label in zip(images.names, images.places, way.labels, strict=True):
        if not label:
            found[place.part].append(name)
    notes = []
    for part, names in sorted(found.items()):
        where = f" in {part}/" if part else ""
        examples = ", ".join(names[:_SHOWN])
        if part in way.untrained:
            text = (
                f"{len(names)} images{where} are left out: none of their labels, e.g. "
                f"{way.untrained[part]!r}, is among those to be trained on."
            )
        elif len(names) == 1:
            text = f"1 image{where} has no label and is left out: {examples}."
        else:
            text = f"{len(names)} images{where} have no label and are left out, e.g. {examples}."
        notes.append(ReadingNote(kind="left out", text=text))
    return notes


def possible(way: Way, others: Sequence[Way], asked: ReadingRequest) -> list[PossibleReading]:
    """Return other readings that give two labels or more, and what to send for each.

    Args:
        way: the one that is taken, before its labels get other names.
        others: the other ways.
        asked: what the user has decided; what does not depend on the way is kept.
    """
    seen = {_fingerprint(_merged(way, asked))}
    kept = {name: getattr(asked, name) for name in ("splits", "merge_alike")}
    found: list[PossibleReading] = []
    for other in others:
        counts = _merged(other, asked)
        if len(counts) < _TWO or sum(counts.values()) * 2 < len(other.labels):
            continue
        if max(counts.values()) == 1 or (key := _fingerprint(counts)) in seen:
            continue
        seen.add(key)
        ignore = [*asked.ignore, *other.reading.ignore]
        reading = other.reading.model_copy(update={**kept, "ignore": ignore})
        found.append(
            PossibleReading(
                reading=reading,
                text=other.layout.text,
                images=sum(counts.values()),
                labels=len(counts),
            )
        )
    return found


def finer_folders(way: Way, others: Sequence[Way]) -> list[ReadingNote]:
    """Say that folders below those that are taken for the labels may be these instead."""
    level = way.layout.level
    for other in others:
        deeper = other.reading.level
        if None in {level, deeper} or cast(int, deeper) <= cast(int, level):
            continue
        if not other.is_sound or not _refines(other.labels, way.labels):
            continue
        text = (
            f"Each of the folders that are taken for labels has others in it. {other.layout.text} "
            f"That may be meant: level {deeper} reads it so."
        )
        return [ReadingNote(kind="doubt", text=text)]
    return []


def passed_over_folders(images: Images, way: Way) -> list[ReadingNote]:
    """Say that the folders that are taken for labels have others in them, whatever these say."""
    level = way.layout.level
    below: defaultdict[str, set[str]] = defaultdict(set)
    example = ""
    for name, place, label in zip(images.names, images.places, way.labels, strict=True):
        deeper = [at.name for at in place.levels if level is not None and at.position > level]
        if label and deeper:
            below[label].add(deeper[0])
            example = example or f"{deeper[0]!r} in {name}"
    several = sum(len(folders) > 1 and not are_groups(folders) for folders in below.values())
    if not several or several * 2 < len(way.counts):
        return []
    text = (
        f"The folders that are taken for labels have others in them, e.g. {example}, which tell "
        "nothing apart."
    )
    return [ReadingNote(kind="guess", text=text)]


def partless_notes(images: Images, way: Way) -> list[ReadingNote]:
    """Say which labelled images are in no part of a split that others are in."""
    if not any(way.splits):
        return []
    found = [
        name
        for name, label, split in zip(images.names, way.labels, way.splits, strict=True)
        if label and split is None
    ]
    if not found:
        return []
    number = "1 image is" if len(found) == 1 else f"{len(found)} images are"
    text = (
        f"{number} in no part of the split, e.g. {_examples(found)}, and so may be trained on. "
        "If that is not meant, leave them out."
    )
    return [ReadingNote(kind="doubt", text=text)]


def _refines(finer: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether each of the finer labels has images of one label alone."""
    above: dict[str, str] = {}
    for one, label in zip(finer, labels, strict=True):
        if label and (not one or above.setdefault(one, label) != label):
            return False
    return len(above) > len(set(above.values()))


def _merged(way: Way, asked: ReadingRequest) -> Counter[str]:
    """Return the images of each label of a way, as they are once labels that are alike are one."""
    counts = way.counts
    names = merge_alike(counts, counts).names if asked.merge_alike else {}
    merged: Counter[str] = Counter()
    for label, number in counts.items():
        merged[names.get(label, label)] += number
    return merged


def _fingerprint(counts: Counter[str]) -> frozenset[tuple[str, int]]:
    return frozenset(counts.items())
