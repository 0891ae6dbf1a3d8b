"""Decides how a dataset says what its images show, and tells what it decided.

What users say in a `ReadingRequest` holds. Otherwise, in this order, the first of these that
labels nearly all images, or half of them in the case of tables:

1. tables whose columns are called like those of images and labels;
2. the names of folders, if they are no words for something else;
3. tables whose columns are likely those of labels;
4. what stands before the number in the file names;
5. tables whose columns may be labels by their values.

What is not used is named, and a result that looks wrong is doubted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from trainer_service.datasets.interpretation import left_out
from trainer_service.datasets.interpretation.describe import (
    describe_file_names,
    describe_folders,
    describe_mixture,
    describe_strays,
    describe_tables,
    finer_folders,
    partless_notes,
    passed_over_folders,
    possible,
    unlabelled_notes,
)
from trainer_service.datasets.interpretation.doubts import odd_labels, serious_doubt
from trainer_service.datasets.interpretation.folders import TOLERATED
from trainer_service.datasets.interpretation.from_tables import Tables, TableWay
from trainer_service.datasets.interpretation.left_out import LeftOut
from trainer_service.datasets.interpretation.merging import look_alike, merge_alike
from trainer_service.datasets.interpretation.tables.labels import MissingImage, NoLabels
from trainer_service.datasets.interpretation.ways import (
    Images,
    Way,
    by_folders,
    by_prefixes,
    same_partition,
    settled_splits,
)
from trainer_service.datasets.records import Split
from trainer_service.errors import InvalidDataset
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.interpretation import (
    MOST_PARTS,
    Interpretation,
    ReadingNote,
    UnusedFile,
)

MOST_LINES = 1_000_000
_MOST_LEVELS = 8


class Labelled(NamedTuple):
    """The label and the split of an image; `reason` says why it has no label, if it has none."""

    label: str
    split: Split | None
    reason: str = ""


class Interpreted(NamedTuple):
    """The label of every image, in the order of the names, and how it was found.

    Attributes:
        missing: the first rows of tables whose images are not there.
        missing_count: how many these are, of each table.
    """

    images: list[Labelled]
    interpretation: Interpretation
    missing: Sequence[MissingImage] = ()
    missing_count: Mapping[str, int] = {}

    @property
    def has_several_labels(self) -> bool:
        return len({image.label for image in self.images if image.label}) > 1

    @property
    def has_split(self) -> bool:
        return any(image.split for image in self.images)


def interpret(
    names: Sequence[str],
    tables: Mapping[str, bytes],
    hashes: Sequence[str] = (),
    reading: ReadingRequest | None = None,
    most_lines: int = MOST_LINES,
) -> Interpreted:
    """Label the images of a dataset.

    Args:
        names: clean relative paths of all images.
        tables: the tables of the dataset, by their clean relative paths.
        hashes: of the bytes of each image; empty where they are not known.
        reading: what the user has decided.
        most_lines: so many may a table have.

    Raises:
        InvalidDataset: none of the ways fits, a table that counts contradicts itself, or what the
            user has decided does not fit the dataset.
        TooLarge: a table that labels images has more lines than that.
    """
    reading = reading or ReadingRequest()
    hashes = hashes or [""] * len(names)
    omitted = _omitted(names, hashes, reading)
    sure = [out for out in omitted if not out.is_guess]
    try:
        found = _interpret(names, tables, hashes, omitted, reading, most_lines=most_lines)
        if len(sure) == len(omitted) or found.has_several_labels:
            return found
    except InvalidDataset:
        if len(sure) == len(omitted):
            raise
    # What seemed to be masks may be what is to be told from the other images.
    return _interpret(names, tables, hashes, sure, reading, most_lines=most_lines)


def _omitted(names: Sequence[str], hashes: Sequence[str], reading: ReadingRequest) -> list[LeftOut]:
    """Return the images that are not labelled at all, each in one of the groups."""
    found: list[LeftOut] = []
    kept = list(range(len(names)))

    def take(groups: Sequence[LeftOut | None]) -> None:
        nonlocal kept
        for group in groups:
            if group is not None:
                images = [kept[index] for index in group.images]
                found.append(group._replace(images=images))
        gone = {image for group in found for image in group.images}
        kept = [image for image in kept if image not in gone]

    take([left_out.ignored(names, [*reading.ignore, *reading.without_labels])])
    take(left_out.copies([names[i] for i in kept], [hashes[i] for i in kept]))
    take(left_out.companions([names[i] for i in kept]))
    return found


def _interpret(  # noqa: PLR0913 - what there is, and what is wanted
    names: Sequence[str],
    tables: Mapping[str, bytes],
    hashes: Sequence[str],
    omitted: Sequence[LeftOut],
    reading: ReadingRequest,
    *,
    most_lines: int,
) -> Interpreted:
    reasons = {image: group.reason for group in omitted for image in group.images}
    kept = [index for index in range(len(names)) if index not in reasons]
    if not kept:
        raise InvalidDataset("All images are left out, as asked.")
    images = Images([names[i] for i in kept], reading, [hashes[i] for i in kept])
    found = Tables(images, tables, reading, most_lines)
    _require_parts(names, found, reading)
    way, others = _decide(images, found, reading)
    notes = [ReadingNote(kind="left out", text=group.text) for group in omitted]
    notes += _told(images, way, others, reading)
    readings = possible(way, others, reading)
    notes += _rename(way, reading)
    doubt = _doubt(images, way, reading)
    notes += _odd(way, doubted=bool(doubt))
    if doubt and reading.confirm:
        notes.insert(0, ReadingNote(kind="doubt", text=f"{doubt} The reading was confirmed."))
        doubt = ""
    interpretation = Interpretation(
        layout=way.layout,
        splits=dict(islice(_splits(images, way).items(), MOST_PARTS)),
        notes=notes,
        unused=found.unused,
        readings=readings,
        doubt=doubt,
    )
    labelled = [Labelled("", None, reasons.get(index, "")) for index in range(len(names))]
    for index, label, split in zip(kept, way.labels, way.splits, strict=True):
        labelled[index] = Labelled(label, split)
    if isinstance(way, TableWay):
        return Interpreted(labelled, interpretation, way.missing, way.missing_count)
    return Interpreted(labelled, interpretation)


def _told(
    images: Images, way: Way, others: Sequence[Way], reading: ReadingRequest
) -> list[ReadingNote]:
    """Return what is told of the way that is taken, while labels are called as in the dataset."""
    notes = [ReadingNote.model_validate({"kind": k, "text": t}) for k, t in way.notes]
    notes += unlabelled_notes(images, way)
    notes += partless_notes(images, way)
    if reading.level is None and way.layout.kind == "folders" and not reading.confirm:
        notes += finer_folders(way, others) or passed_over_folders(images, way)
    return notes


def _doubt(images: Images, way: Way, reading: ReadingRequest) -> str:
    """Return why nothing should be trained until the reading is confirmed; empty if it is sound."""
    return (
        serious_doubt(way.layout, way.counts)
        or _doubt_of_tables(way, reading)
        or _doubt_of_nested(images, way)
        or _doubt_of_few(images, way)
    )


def _odd(way: Way, *, doubted: bool) -> list[ReadingNote]:
    """Return what is odd of the labels; not all of it if the reading as a whole is doubted."""
    odd = [] if doubted else odd_labels(way.layout, way.counts)
    return [ReadingNote(kind="doubt", text=text) for text in (*odd, *look_alike(way.counts))]


def _decide(images: Images, tables: Tables, reading: ReadingRequest) -> tuple[Way, list[Way]]:
    """Return the way that is taken, and others that are possible."""
    if reading.table is not None:
        tables.require(reading.table)
    folders, prefixes = by_folders(images), by_prefixes(images)
    of_tables = tables.way(reading.table)
    way = _asked(images, prefixes, tables, of_tables, reading)
    if way is None:
        way = _choose(images, folders, prefixes, of_tables)
    if way is None:
        way = _fall_back(images, folders, prefixes, tables.unused)
    _split_by_lists(way, tables)
    _name_unused(tables, of_tables, way)
    levels = range(1, min(images.depth, _MOST_LEVELS) + 1)
    others = [folders, prefixes, *(by_folders(images, level) for level in (*levels, -1))]
    if of_tables is not None:
        others.append(of_tables)
    if isinstance(way, TableWay) and reading.columns.label is None:
        others += tables.by_other_columns(way)
        if way.rivals and (rival := tables.without(way)) is not None:
            others.append(rival)
    return way, [other for other in others if other is not way]


def _require_parts(names: Sequence[str], tables: Tables, reading: ReadingRequest) -> None:
    """Check that what is to be a part of the split is there."""
    values = {value for table in tables.labelling for value in table.asked_values}
    if missing := left_out.not_there(names, reading.splits.keys() - values):
        raise InvalidDataset(
            "reading.splits: expected a folder of the dataset, or a value of the column that "
            "says the split. Name that with reading.columns.split, if it has other words than "
            f"train, validation and test. Received: {min(missing)!r}"
        )


def _asked(
    images: Images,
    prefixes: Way,
    tables: Tables,
    of_tables: TableWay | None,
    reading: ReadingRequest,
) -> Way | None:
    """Return the way that the user has decided on; None if that was left open."""
    if reading.labels == "table" or reading.table is not None:
        if of_tables is None:
            raise InvalidDataset(f"reading.labels: {describe_tables(tables.unused)}")
        return _checked(of_tables)
    if reading.labels == "file names":
        if not prefixes.counts:
            raise InvalidDataset(f"reading.labels: {describe_file_names(images)}")
        return prefixes
    if reading.labels == "folders" or reading.level is not None:
        return _at_level(images, reading.level)
    if reading.columns.label is not None:
        if of_tables is None:
            raise InvalidDataset(
                "reading.columns.label: no table labels the images with such a column. "
                f"Received: {reading.columns.label!r}"
            )
        return _checked(of_tables)
    return None


def _at_level(images: Images, level: int | None) -> Way:
    way = by_folders(images, level)
    if not way.counts and level is None:
        raise InvalidDataset(f"reading.labels: {describe_folders(images)}")
    if not way.counts:
        raise InvalidDataset(
            f"reading.level: no image lies in so many folders, {images.depth} at most. "
            f"Received: {level}"
        )
    return way


def _choose(images: Images, folders: Way, prefixes: Way, tables: TableWay | None) -> Way | None:
    """Return the first way that labels nearly all images, in the order that stands above."""
    if tables is not None and (names := _names_of(tables, folders, prefixes)) is not None:
        names.splits = tables.splits if any(tables.splits) else names.splits
        return names
    if tables is not None and tables.share >= 1 / 2 and _wins(tables, folders, prefixes):
        return _checked(tables)
    if folders.is_sound:
        return _split_by_table(_completed(images, folders, tables), tables)
    if prefixes.is_sound:
        return _split_by_table(prefixes, tables)
    return None if tables is None else _checked(tables)


def _fall_back(images: Images, folders: Way, prefixes: Way, unused: Sequence[UnusedFile]) -> Way:
    """Return a way that will be doubted, or explain that there is none."""
    _refuse_strays(images)
    for way in (folders, prefixes):
        if way.fits and way.counts:
            return way
    if len(set(images.folders)) == 1 and images.folders[0]:
        return by_folders(images, -1)  # the only label that there is
    raise InvalidDataset(describe_mixture(images, unused))


def _wins(tables: TableWay, folders: Way, prefixes: Way) -> bool:
    """Return whether tables win over what the names of folders and files say."""
    if tables.is_clear:
        reliable = not any(t.contradictions for t in tables.tables) and len(tables.counts) > 1
        return reliable or not (folders.is_sound or prefixes.is_sound)
    if folders.is_sound:
        return False
    return not (prefixes.is_sound and tables.is_by_values)


def _names_of(tables: TableWay, folders: Way, prefixes: Way) -> Way | None:
    """Return the folders or prefixes that name the labels of which tables have the numbers."""
    if not _are_numbers(tables):
        return None
    for way in (folders, prefixes):
        as_many = sum(way.counts.values()) >= sum(tables.counts.values())
        if way.is_sound and as_many and not _are_numbers(way):
            return way if same_partition(tables.labels, way.labels) else None
    return None


def _are_numbers(way: Way) -> bool:
    return bool(way.counts) and all(label.replace(".", "").isdigit() for label in way.counts)


def _checked(way: TableWay) -> TableWay:
    """Raise InvalidDataset if what the tables say of the labels can't be relied on."""
    for table in way.tables:
        table.require_sound()
    if way.contradiction:
        raise InvalidDataset(
            f"Two tables with the same columns contradict each other. {way.contradiction}. "
            "Leave one of them out, or say which table is right."
        )
    return way


def _completed(images: Images, folders: Way, tables: TableWay | None) -> Way:
    """Label what lies in no folder of a label by a table that has the same labels."""
    if tables is None or tables.contradiction:
        return folders
    known = folders.counts.keys()
    added = [
        index
        for index, (label, said) in enumerate(zip(folders.labels, tables.labels, strict=True))
        if not label and said in known
    ]
    if not added:
        return folders
    for index in added:
        folders.labels[index] = tables.labels[index]
    folders.splits = settled_splits(folders.labels, images.splits)
    names = ", ".join(table.name for table in tables.tables)
    folders.notes.append(("guess", f"{names} labels {len(added)} images that lie in no folder."))
    folders.layout.tables = [table.name for table in tables.tables]
    return folders


def _split_by_table(way: Way, tables: TableWay | None) -> Way:
    """Take the split from a table that says the same of the images as the names do."""
    if tables is None or tables.contradiction or any(way.splits) or not any(tables.splits):
        return way
    if None in tables.splits or not same_partition(tables.labels, way.labels):
        return way
    way.splits = tables.splits
    names = ", ".join(table.name for table in tables.tables)
    way.notes.append(("guess", f"The split is that of {names}, which has the same labels."))
    return way


def _split_by_lists(way: Way, tables: Tables) -> None:
    """Take the split from tables such as `train.txt` that name images and say nothing of them."""
    if any(way.splits) or not tables.lists:
        return
    splits: list[Split | None] = [None] * len(way.labels)
    by: dict[int, NoLabels] = {}
    for listed in tables.lists:
        for image, split in listed.splits.items():
            other = by.setdefault(image, listed)
            if other.splits[image] != split:
                text = (
                    f"{other.name} and {listed.name} put the same image in two parts of the split, "
                    "so that lists of images are not taken for the split."
                )
                way.notes.append(("left out", text))
                return
            splits[image] = split
    found = [split for split, label in zip(splits, way.labels, strict=True) if label]
    if None not in found and "train" in found and len(set(found)) > 1:
        way.splits = splits
        used = {listed.name for listed in tables.lists}
        tables.unused = [table for table in tables.unused if table.name not in used]
        names = ", ".join(sorted(used))
        way.notes.append(("guess", f"The split is that of {names}, which list images."))
    else:
        names = ", ".join(sorted(listed.name for listed in tables.lists))
        text = f"{names} list images, but not all, or none to train on: they are not the split."
        way.notes.append(("left out", text))


def _refuse_strays(images: Images) -> None:
    strays = images.strays if images.tree.parts else []
    if len(strays) > TOLERATED * len(images.names):
        raise InvalidDataset(describe_strays(images, strays))


def _name_unused(tables: Tables, of_tables: TableWay | None, way: Way) -> None:
    if of_tables is None or of_tables is way:
        return
    says = "folders" if way.layout.kind == "folders" else "file names"
    for table in of_tables.tables:
        if table.name not in way.layout.tables:
            reason = table.contradiction or table.broken or f"the {says} say the labels"
            tables.leave_out(table.name, table.titles(), reason)


def _splits(images: Images, way: Way) -> dict[str, str | None]:
    """Return which folders, tables and values were taken for which part of the split."""
    parts: dict[str, str | None] = dict(images.tree.parts)
    for part in images.unlabelled_parts(way.labels):
        parts[part] = None
    if isinstance(way, TableWay) and any(way.splits):
        for table in way.tables:
            parts |= table.split_values or ({table.name: table.part} if table.part else {})
    return parts


def _doubt_of_tables(way: Way, reading: ReadingRequest) -> str:
    """Return, in words, that other tables or columns could as well hold the labels, if so."""
    if not isinstance(way, TableWay) or reading.columns.label is not None:
        return ""
    if way.rivals and not way.is_clear and reading.table is None:
        return (
            f"Tables say different things of the same images. {way.rivals[0]}. Say which is right."
        )
    if not way.is_by_values:
        return ""
    columns = way.tables[0].columns
    if columns.labels is None or not columns.others:
        return ""
    names = ", ".join(map(repr, (*columns.labels.names, *columns.others)))
    return (
        f"Several columns of {way.tables[0].name} could hold the labels: {names}. Say which of "
        "them does."
    )


def _doubt_of_nested(images: Images, way: Way) -> str:
    """Return, in words, that a label's folder holds folders called like the other labels."""
    if way.layout.kind != "folders":
        return ""
    labels = way.counts
    inside: defaultdict[str, set[str]] = defaultdict(set)
    for folders, label in zip(images.folders, way.labels, strict=True):
        if label and folders[-1] != label and folders[-1] in labels:
            inside[label].add(folders[-1])
    for label, found in sorted(inside.items()):
        if len(found) > 1 and len(found) * 2 >= len(labels) - 1:
            return (
                f"{label!r} is taken for a label, but its folder holds others that are called "
                f"like labels, e.g. {min(found)!r}."
            )
    return ""


def _doubt_of_few(images: Images, way: Way) -> str:
    """Return, in words, that most images have no label, but for those of a test without any."""
    without = images.unlabelled_parts(way.labels)
    expected = sum(place.part not in without for place in images.places)
    labelled = way.counts.total()
    if labelled * 2 >= expected:
        return ""
    return f"Only {labelled} of {expected} images have a label, and the others are left out."


def _rename(way: Way, reading: ReadingRequest) -> list[ReadingNote]:
    """Merge labels that mean the same, and give labels the names that the user wants."""
    notes: list[ReadingNote] = []
    trained = Counter(
        label
        for label, split in zip(way.labels, way.splits, strict=True)
        if label and split in {None, "train"}
    )
    names: dict[str, str] = {}
    if reading.merge_alike:
        merged = merge_alike(way.counts, trained)
        names = merged.names
        notes = [ReadingNote(kind="merged", text=text) for text in merged.notes]
    known = way.counts.keys() | names.values()
    for old in reading.rename:
        if old not in known:
            raise InvalidDataset(
                f"reading.rename: no label is called {old!r}. Labels found: "
                f"{', '.join(sorted(known)[:20])}"
            )
    asked = {names.get(old, old): new for old, new in reading.rename.items()}
    for label in way.counts:
        tidy = names.get(label, label)
        names[label] = asked.get(tidy, tidy)
    way.labels = [names.get(label, label) for label in way.labels]
    return notes
