"""Reads images that are added to a dataset. A worker does this, as they have to be decoded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from trainer_service.datasets.children.labels import Spellings
from trainer_service.datasets.children.lineage import Lineage
from trainer_service.datasets.create import UPLOAD_FILE
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.interpretation.interpret import Labelled
from trainer_service.datasets.records import DatasetLimits, DatasetSummary, ImageRecord
from trainer_service.datasets.scan.found import Found
from trainer_service.datasets.scan.likeness import MOST_OF_A_GROUP, group_doubles
from trainer_service.datasets.scan.looks import has_looks, load_looks
from trainer_service.datasets.scan.reader import scanned
from trainer_service.datasets.scan.scans import keep_images
from trainer_service.datasets.scan.verdicts import settle
from trainer_service.datasets.sources.hang_guard import HangGuard
from trainer_service.datasets.splits import stand_in
from trainer_service.errors import InvalidDataset
from trainer_service.store.records.interpretation import Interpretation, ReadingNote
from trainer_service.store.records.parts import CrowdCount, crowd_of
from trainer_service.store.work_metrics import IMAGES_REJECTED

NOT_COMPARED = ReadingNote(
    kind="doubles",
    text="What was added was not compared with images that an earlier release has read, which did "
    "not keep what they look like: near doubles of these may be in another part of the split. "
    "Submit all images again to have them compared.",
)

_SHOWN = 3


def read_additions(
    dataset: Dataset,
    limits: DatasetLimits,
    progress: Callable[[int, int], None],
    hang_guard: HangGuard,
) -> DatasetSummary:
    """Read the images that were sent to be added, and write down all images of the dataset.

    Their label is the one that was sent with them, or else the name of the folder that each lies
    in. An image that the dataset has already is not added again.

    Args:
        dataset: the new dataset, with the upload, its corrections, and earlier additions.
        limits: the largest upload, and the largest image that is read.
        progress: as for `read_dataset`.
        hang_guard: tells from another thread that the reading is to end.

    Raises:
        InvalidDataset: the upload is broken, none of its images can be added, or the dataset that
            it was to be added to is gone.
        RecordCorrupt: the records of the images that are there are damaged.
        TooLarge: it is beyond the limits.
        OSError: it could not be read now.
    """
    dataset.require_owners()
    directory, record = dataset.directory, dataset.record
    lineage = Lineage.of(dataset)
    passed = scanned(
        directory / UPLOAD_FILE,
        directory,
        limits,
        progress,
        threads=dataset.settings.threads,
        name="what was sent",
        hang_guard=hang_guard,
    )
    with passed as (staged, found):
        added = list(_added(dataset, lineage, found))
        added, crowds = _with_doubles(dataset, lineage, staged, added)
        _require_any(added)
        for image in added:
            if image.sha256 and not image.file:  # it is there already
                (staged / _stored(image.sha256)).unlink(missing_ok=True)
        keep_images(staged, directory)
    lineage = lineage.with_additions(added, found.told, dataset.id)
    lineage.write_sources(directory)
    summary = lineage.write_images(directory, record)
    summary.crowds = summary.crowds.with_more(crowds)
    if not _is_known_what_is_there(dataset):
        summary.interpretation = _with_note(summary.interpretation, NOT_COMPARED)
    for image in added:
        if image.verdict != "used":
            IMAGES_REJECTED.labels(image.verdict).inc()
    return summary


def _added(dataset: Dataset, lineage: Lineage, found: Found) -> Iterator[ImageRecord]:
    """Yield the images of an upload as the dataset has them."""
    images = lineage.images()
    known = {image.sha256: image for image in reversed(images) if image.file}
    used = {image.label for image in images if image.verdict == "used"}
    spellings = Spellings([*used, *lineage.labels()], merge=dataset.record.reading.merge_alike)
    given = dataset.record.given_label
    labels = [spellings.of(given or " ".join(_folder(note.name).split())) for note in found.notes]
    for image in settle(found.notes, [Labelled(label, None) for label in labels]):
        if image.file and image.sha256 in known:
            yield replace(image, file="", verdict="duplicate", detail=_told_of(known[image.sha256]))
        else:
            yield replace(image, file=f"{dataset.id}/{image.file}" if image.file else "")


def _with_doubles(
    dataset: Dataset, lineage: Lineage, staged: Path, added: list[ImageRecord]
) -> tuple[list[ImageRecord], CrowdCount]:
    """Return added images, those with the near doubles that the dataset has already as of these.

    And how many of them are in crowds.

    An image that is there stays in its part, so the new one goes where that is. Images that an
    earlier release has read are compared with none: nobody knows what they look like.
    """
    if dataset.record.doubles is None:
        return added, CrowdCount()
    of = {image.sha256: image.double_of or image.sha256 for image in lineage.uncorrected()}
    there = {sha256: look for sha256, look in _looks_there(dataset).items() if sha256 in of}
    new = {sha256: look for sha256, look in load_looks(staged).items() if sha256 not in of}
    hashes = [*there, *new]
    names = {image.sha256: image.name for image in reversed(added)}
    found: dict[str, str] = {}
    crowds = CrowdCount()
    alike = group_doubles([*there.values(), *new.values()])
    for group in (*alike.groups, *alike.crowds):
        members = [hashes[place] for place in group]
        known = [sha256 for sha256 in members if sha256 in there]
        if 0 < len(known) <= MOST_OF_A_GROUP:  # a group may grow beyond that; a crowd is none
            found |= dict.fromkeys(set(members) - set(known), of[stand_in(known)])
        elif len(members) > MOST_OF_A_GROUP:
            crowds = crowds.with_more(crowd_of([names[one] for one in members if one in new]))
    images = [replace(image, double_of=found.get(image.sha256, image.double_of)) for image in added]
    return images, crowds


def _is_known_what_is_there(dataset: Dataset) -> bool:
    """Return whether it is known what all images look like that a dataset has from others."""
    others = [owner for owner in dataset.record.owners if owner != dataset.id]
    kept = (has_looks(dataset.directory.parent / owner) for owner in others)
    return dataset.record.doubles is not None and all(kept)


def _with_note(read: Interpretation, note: ReadingNote) -> Interpretation:
    notes = [note, *(one for one in read.notes if one != note)]
    return read.model_copy(update={"notes": notes})


def _looks_there(dataset: Dataset) -> dict[str, bytes]:
    """Return the looks of the images that a dataset has from others, by their hashes."""
    looks: dict[str, bytes] = {}
    for owner in dataset.record.owners:
        if owner != dataset.id:
            looks |= load_looks(dataset.directory.parent / owner)
    return looks


def _folder(name: str) -> str:
    """Return the name of the folder that an image lies in; empty if it lies in none."""
    return name.rpartition("/")[0].rpartition("/")[2]


def _told_of(image: ImageRecord) -> str:
    as_what = f"as {image.label!r}" if image.verdict == "used" else f"where it is {image.verdict}"
    return f"the dataset has it already, {as_what}: {image.name}"


def _stored(sha256: str) -> str:
    return f"images/{sha256[:2]}/{sha256}"


def _require_any(images: list[ImageRecord]) -> None:
    if any(image.verdict == "used" for image in images):
        return
    reasons = "; ".join(f"{image.name}: {image.detail}" for image in images[:_SHOWN])
    more = len(images) - _SHOWN
    raise InvalidDataset(
        f"None of the {len(images)} images can be added. {reasons}"
        + (f"; and {more} more" if more > 0 else "")
    )
