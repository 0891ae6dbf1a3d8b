"""Makes datasets of other ones: with corrections, or for more images.

The trainer API imports this; it decodes no image.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import InvalidRequest
from trainer_service.datasets.children.corrections import find_copies, merged
from trainer_service.datasets.children.labels import Spellings, clean_label
from trainer_service.datasets.children.lineage import Lineage
from trainer_service.datasets.create import UPLOAD_FILE
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState

_SHOWN = 3


def correct(
    parent: Dataset, child_id: str, changes: Mapping[str, str | None], most_labels: int
) -> DatasetRecord:
    """Write all files of a dataset that is another one with corrections, but for its record.

    Args:
        parent: the dataset that is corrected; it has been read.
        child_id: the id of the new dataset.
        changes: the new label of each image that changes, by its hash, or None to leave it out.
        most_labels: how many labels there may be, unless there are as many already.

    Returns:
        The record of the new dataset, which is not written yet.

    Raises:
        InvalidRequest: an image or a label can't be used, nothing changes, or there are too many
            labels.
        InvalidDataset: fewer than two labels are left.
        RecordCorrupt: the records of the images are damaged.
    """
    lineage = Lineage.of(parent)
    images = lineage.uncorrected()
    _require_known(images, changes, parent.id)
    record = parent.record
    spellings = Spellings([*record.labels, *lineage.labels()], merge=record.reading.merge_alike)
    labels = {
        sha256: None if label is None else spellings.of(clean_label(label, sha256))
        for sha256, label in changes.items()
    }
    now = datetime.now(UTC)
    corrections = merged(lineage.corrections, labels, images, now)
    if corrections == lineage.corrections:
        raise InvalidRequest(
            f"Nothing changes: all of these images have these labels in dataset {parent.id} "
            "already, or are not used there."
        )
    directory = parent.directory.parent / child_id
    lineage = lineage.with_corrections(corrections)
    lineage.write_sources(directory)
    summary = lineage.write_images(directory, record)
    _require_few(len(summary.labels), max(most_labels, record.label_count))
    child = new_child(record, child_id, now)
    child.state = DatasetState.READY
    summary.fill(child)
    return child


def prepare_additions(
    parent: Dataset, child_id: str, upload: Path, label: str | None
) -> DatasetRecord:
    """Prepare a dataset that is another one with more images, for a worker that reads these.

    Args:
        parent: the dataset that they are added to.
        child_id: the id of the new dataset.
        upload: the archive of the images, which is moved to the dataset.
        label: the label of all of them; None if it is the folder that each lies in.

    Returns:
        The record of the new dataset, which is not written yet.

    Raises:
        InvalidRequest: the label can't be used.
        RecordCorrupt: the records of the images are damaged.
    """
    record = parent.record
    child = new_child(record, child_id, datetime.now(UTC))
    child.submitted = True
    child.owners[child_id] = None
    if label is not None:
        spellings = Spellings(record.labels, merge=record.reading.merge_alike)
        child.given_label = spellings.of(clean_label(label, "label"))
    directory = parent.directory.parent / child_id
    Lineage.of(parent).write_sources(directory)
    upload.rename(directory / UPLOAD_FILE)
    return child


def new_child(parent: DatasetRecord, child_id: str, now: datetime) -> DatasetRecord:
    """Return the record of a dataset that is made of another one, and has not been read."""
    return DatasetRecord(
        id=child_id,
        created_at=now,
        state=DatasetState.QUEUED,
        source=parent.source,
        path=False,
        reading=parent.reading,
        parent=parent.id,
        root=parent.line,
        ignored=parent.ignored,
        has_split=parent.has_split,
        doubles=parent.doubles,
        owners=dict(parent.owners) or {parent.id: parent.source if parent.in_place else None},
        **parent.as_read().model_dump(),
    )


def _require_known(images: list[ImageRecord], changes: Mapping[str, str | None], of: str) -> None:
    """Check that all images that change are there and sound.

    Raises:
        InvalidRequest: they are not; the first few are named, with the reason.
    """
    found = find_copies(images, changes)
    unknown = [sha256 for sha256 in changes if sha256 not in found]
    if not unknown:
        return
    refused = {image.sha256: image for image in images if image.sha256 in set(unknown)}
    told = [
        f"{sha256}: {refused[sha256].name!r} can't be corrected, as it can't be used: "
        f"{refused[sha256].detail or refused[sha256].verdict}"
        if sha256 in refused
        else f"{sha256}: dataset {of} has no such image"
        for sha256 in unknown[:_SHOWN]
    ]
    more = len(unknown) - len(told)
    raise InvalidRequest("; ".join(told) + (f"; and {more} more" if more else ""))


def _require_few(labels: int, most: int) -> None:
    if labels > most:
        raise InvalidRequest(
            f"HEADSTART_MAX_LABELS allows a training {most} labels. With these corrections there "
            f"would be {labels}"
        )
