"""The corrections of a dataset: which image gets which label, or is left out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.files import open_below
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord, records_corrupt, records_judged
from trainer_service.datasets.scan.verdicts import PREFERENCE
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.lists import save_list

CORRECTIONS_FILE = "corrections.jsonl"

CORRECTED = "whoever corrected the labels has left it out"

#: The positions of the copies of an image, that of the one first that is used if any is.
Copies = Sequence[int]


class Correction(BaseModel):
    """How an image differs from what it is in the first dataset of a line, or as it was added.

    Attributes:
        sha256: the image.
        name: what it is called there.
        before: its label there, in JSON `from`; None if it is not used there.
        to: its label here; None if it is left out.
        at: when it was corrected.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True, serialize_by_alias=True)

    sha256: str
    name: str
    before: str | None = Field(alias="from")
    to: str | None
    at: AwareDatetime


def find_copies(images: Sequence[ImageRecord], hashes: Iterable[str]) -> dict[str, Copies]:
    """Return the positions of images that were kept, by their hashes."""
    wanted = set(hashes)
    found: defaultdict[str, list[int]] = defaultdict(list)
    for position, image in enumerate(images):
        if image.sha256 in wanted and image.file:
            found[image.sha256].append(position)

    def rank(position: int) -> tuple[bool, int, int]:
        image = images[position]
        return image.verdict != "used", PREFERENCE[image.split], position

    return {sha256: sorted(positions, key=rank) for sha256, positions in found.items()}


def merged(
    earlier: Mapping[str, Correction],
    changes: Mapping[str, str | None],
    images: Sequence[ImageRecord],
    now: datetime,
) -> dict[str, Correction]:
    """Return corrections with further changes; what is back at its first label is left out.

    Args:
        earlier: the corrections until now, by the hashes of the images.
        changes: the new label of each image that changes, or None to leave it out.
        images: all images as the first dataset and the additions have them.
        now: when the changes are made.
    """
    result = dict(earlier)
    for sha256, copies in find_copies(images, changes).items():
        image, to = images[copies[0]], changes[sha256]
        before = image.label if image.verdict == "used" else None
        if before == to:
            result.pop(sha256, None)
        elif sha256 not in result or result[sha256].to != to:
            result[sha256] = Correction(
                sha256=sha256, name=image.name, before=before, to=to, at=now
            )
    return result


def corrected(
    images: Sequence[ImageRecord], corrections: Mapping[str, Correction]
) -> list[ImageRecord]:
    """Return images as corrections have them; a corrected image stays in its part of the split."""
    result = list(images)
    for sha256, (first, *others) in find_copies(images, corrections).items():
        image, to = images[first], corrections[sha256].to
        if to is None:
            result[first] = replace(image, verdict="left out by a correction", detail=CORRECTED)
            continue
        result[first] = replace(image, label=to, verdict="used", detail="")
        for other in others:
            copy = f"duplicate of {image.name}"
            result[other] = replace(images[other], label=to, verdict="duplicate", detail=copy)
    return result


def save_corrections(directory: Path, corrections: Iterable[Correction]) -> None:
    """Write the corrections of a dataset, in the order of the names of its images."""
    in_order = sorted(corrections, key=lambda one: (one.name, one.sha256))
    save_list(directory / CORRECTIONS_FILE, in_order)


def iterate_corrections(dataset: Dataset) -> Iterator[Correction]:
    """Yield the corrections of a dataset; one that was made of no other has none.

    Raises:
        RecordCorrupt: their file is damaged or gone, or has fewer than the record counts.
    """
    record, directory, found = dataset.record, dataset.directory, 0
    if record.parent is None:
        return
    with (
        records_judged(directory, CORRECTIONS_FILE),
        open_below(directory, CORRECTIONS_FILE) as file,
    ):
        for line in file:
            yield Correction.model_validate_json(line)
            found += 1
    if record.state == DatasetState.READY and found != record.corrected:
        reason = f"{found} are in it; {record.corrected} were"
        raise records_corrupt(directory, reason, CORRECTIONS_FILE)
