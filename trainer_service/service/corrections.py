"""The API's operations on datasets that are made of other ones."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, Field

from shared.errors import Conflict
from shared.identifiers import new_id
from trainer_service.datasets.children.correct import correct, prepare_additions
from trainer_service.datasets.children.corrections import Correction, iterate_corrections
from trainer_service.datasets.dataset import Dataset
from trainer_service.requests.corrections import CorrectionsRequest
from trainer_service.requests.lists import ListQuery
from trainer_service.service.job_slots import open_dataset_slot
from trainer_service.service.trainer import Trainer
from trainer_service.store.children import add_child
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.dataset_record import DatasetRecord


class CorrectionPage(BaseModel):
    """Corrections after a cursor.

    Attributes:
        parent: the dataset that this one was made of; None if it was made of none.
        root: the first dataset of the line, which the corrections are compared with.
        corrected: how many corrections there are in all.
        added: how many images were added to the first dataset.
    """

    parent: str | None
    root: str
    corrected: int
    added: int
    corrections: list[Correction]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


def correct_dataset(
    trainer: Trainer, dataset_id: str, corrections: CorrectionsRequest, key: str | None = None
) -> DatasetRecord:
    """Make a dataset of another one with corrections; it can be trained on at once.

    Args:
        trainer: the stores and the settings of the service.
        dataset_id: the dataset that is corrected, which stays as it is.
        corrections: the new labels.
        key: the client's `Idempotency-Key`; a second request with it gets the same dataset.

    Raises:
        NotFound: there is no such dataset.
        Conflict: it has not been read, or has changed meanwhile.
        InvalidRequest, InvalidDataset: it can't be corrected so.
        RecordCorrupt: the records of its images are damaged.
    """
    changes = corrections.root

    def make(child_id: str) -> DatasetRecord:
        parent = open_parent(trainer, dataset_id)
        with removed_on_error(trainer, child_id):
            record = correct(parent, child_id, changes, trainer.settings.max_labels)
            adopt(trainer, parent, record)
        return record

    said = json.dumps(changes, sort_keys=True)
    return _once(trainer, key, fingerprint(f"corrections {dataset_id} {said}", None), make)


def add_images(
    trainer: Trainer,
    dataset_id: str,
    upload: Path,
    label: str | None,
    key: str | None = None,
) -> DatasetRecord:
    """Make a dataset of another one with more images, and queue the reading of these.

    Args:
        trainer: the stores, the settings and the queue of the service.
        dataset_id: the dataset that they are added to, which stays as it is.
        upload: the archive of the images; it is moved.
        label: the label of all of them; None if it is the folder that each lies in.
        key: the client's `Idempotency-Key`; a second request with it gets the same dataset.

    Raises:
        NotFound: there is no such dataset.
        Conflict: it has not been read, or has changed meanwhile.
        InvalidRequest: the label can't be used.
        RecordCorrupt: the records of its images are damaged.
        Unavailable: Redis does not answer, or too many datasets wait; nothing was created.
    """
    settings = trainer.settings

    def make(child_id: str) -> DatasetRecord:
        parent = open_parent(trainer, dataset_id)
        with removed_on_error(trainer, child_id):
            with open_dataset_slot(trainer.stores, settings.max_open_jobs):
                record = prepare_additions(parent, child_id, upload, label)
                adopt(trainer, parent, record)
            trainer.queue.read_dataset(child_id)
        return record

    content = fingerprint(f"images {dataset_id} {label or ''}", upload)
    return _once(trainer, key, content, make)


def list_corrections(trainer: Trainer, dataset_id: str, query: ListQuery) -> CorrectionPage:
    """Return a page of how a dataset differs from the first one of its line, by names of images.

    Raises:
        Conflict: it has not been read yet.
        RecordCorrupt: the list is damaged.
    """
    dataset = Dataset.open(trainer.stores.datasets, trainer.settings, dataset_id)
    dataset.require_read()
    record = dataset.record
    corrections, after = query.cut(iterate_corrections(dataset))
    return CorrectionPage(
        parent=record.parent,
        root=record.line,
        corrected=record.corrected,
        added=record.added,
        corrections=corrections,
        after=after,
    )


def open_parent(trainer: Trainer, dataset_id: str) -> Dataset:
    """Return a dataset that another one is to be made of.

    Raises:
        NotFound: there is no such dataset.
        Conflict: it has not been read.
        InvalidDataset: its reading is doubtful, or the dataset with its images is gone.
    """
    dataset = Dataset.open(trainer.stores.datasets, trainer.settings, dataset_id)
    dataset.require_read()
    dataset.require_confirmed()
    dataset.require_owners()
    return dataset


def adopt(trainer: Trainer, parent: Dataset, child: DatasetRecord) -> None:
    """Write the record of a new dataset, and note in its parent that it is there.

    Raises:
        NotFound: the parent was removed meanwhile.
        Conflict: it is read in another way meanwhile.
    """
    records = trainer.stores.datasets
    # Removing a dataset, and having it read in another way, take the same lock.
    with records.locked(parent.id):
        if records.get(parent.id).revision != parent.record.revision:
            raise Conflict(
                f"Dataset {parent.id!r} is read in another way meanwhile. Look at it again."
            )
        add_child(parent.directory, child.id)
        records.create(child)


@contextmanager
def removed_on_error(trainer: Trainer, child_id: str) -> Iterator[None]:
    """Remove what the body has written of a new dataset if it raises."""
    try:
        yield
    except BaseException:
        trainer.stores.datasets.delete(child_id)
        raise


def _once(
    trainer: Trainer, key: str | None, content: str, make: Callable[[str], DatasetRecord]
) -> DatasetRecord:
    if key is None:
        return make(new_id())
    return trainer.stores.keys.create_once(key, content, trainer.stores.datasets, make)
