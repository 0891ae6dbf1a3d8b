"""The API's operations on datasets."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from shared.errors import Conflict, Unavailable
from shared.identifiers import new_id
from trainer_service.datasets import create as datasets
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.doubles import DoublesPage, doubles_page
from trainer_service.datasets.scan.scans import is_kept
from trainer_service.errors import InvalidDataset, RecordCorrupt
from trainer_service.requests.lists import ListQuery
from trainer_service.requests.reading import ReadingRequest
from trainer_service.service import dataset_images
from trainer_service.service.dataset_images import (
    DatasetImagePage,
    ImageQuery,
    RejectedPage,
)
from trainer_service.service.job_slots import open_dataset_slot
from trainer_service.service.trainer import Trainer
from trainer_service.store.children import children_of
from trainer_service.store.files.lease import Lease
from trainer_service.store.idempotency import fingerprint
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import ErrorInfo
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.unused_datasets import users_of

#: How long a worker may take to release a dataset once its record says that it is read.
PATIENCE_SECONDS = 2.0
POLL_SECONDS = 0.05
_SHOWN = 3


def submit_dataset(
    trainer: Trainer,
    upload: Path | None,
    name: str,
    key: str | None = None,
    reading: ReadingRequest | None = None,
) -> DatasetRecord:
    """Create a dataset from an upload or from a path below the datasets directory, and queue it.

    Args:
        trainer: the stores, the settings and the queue of the service.
        upload: the uploaded archive; None if `name` is a path.
        name: the name of the archive, or the path of the dataset.
        key: the client's `Idempotency-Key`; a second request with it gets the same dataset.
        reading: the user's choices of how it is read; None leaves all to the reader.

    Raises:
        InvalidRequest: the path can't be used, or the key belongs to another request.
        Conflict: a request with the same key is in progress, or its record is damaged.
        Unavailable: Redis does not answer, or too many datasets wait; nothing was created.
    """

    def make(dataset_id: str) -> DatasetRecord:
        return _make_dataset(trainer, upload, name, dataset_id, reading)

    if key is None:
        return make(new_id())
    said = "" if reading is None else reading.as_asked()
    content = fingerprint(name + said, upload)
    return trainer.stores.keys.create_once(key, content, trainer.stores.datasets, make)


def _make_dataset(
    trainer: Trainer,
    upload: Path | None,
    name: str,
    dataset_id: str,
    reading: ReadingRequest | None,
) -> DatasetRecord:
    stores, settings = trainer.stores, trainer.settings
    with open_dataset_slot(stores, settings.max_open_jobs):
        if upload is None:
            record = datasets.create_from_path(
                stores.datasets,
                settings,
                name,
                submitted=True,
                dataset_id=dataset_id,
                reading=reading,
            )
        else:
            record = datasets.create_from_upload(
                stores.datasets,
                upload,
                name,
                submitted=True,
                dataset_id=dataset_id,
                reading=reading,
            )
    try:
        trainer.queue.read_dataset(record.id)
    except Exception:
        stores.datasets.delete(record.id)
        raise
    return record


def read_in_another_way(
    trainer: Trainer, dataset_id: str, reading: ReadingRequest
) -> DatasetRecord:
    """Have a dataset labelled again, as the user has decided.

    Its images are not read again, unless they could not be, or an earlier release has read them.
    If it was read and the new reading does not fit, it stays as it was, and `refused` says why.

    Raises:
        Conflict: it is being read, a training on it has not ended, or what it was made of is gone;
            or it was made of another dataset, or others of it.
        Unavailable: Redis does not answer, or too many datasets wait; the dataset stays as it was
            read.
    """
    records = trainer.stores.datasets

    def queue(record: DatasetRecord) -> None:
        _require_no_relatives(records, record)
        _require_unused(trainer, dataset_id)
        if record.state.unread:
            raise Conflict(f"Dataset {dataset_id!r} is being read.")
        _require_readable(record, records.directory(dataset_id))
        record.ask(reading)

    with _lease(records, dataset_id) as held:
        if held is None:
            raise Conflict(f"Dataset {dataset_id!r} is being read.")
        before = records.get(dataset_id)
        with open_dataset_slot(trainer.stores, trainer.settings.max_open_jobs):
            # The record's lock is held meanwhile; creating a training on the dataset takes the
            # same lock.
            queued = records.update(dataset_id, queue)
    try:
        trainer.queue.read_dataset(dataset_id)
    except Exception:
        records.update(dataset_id, partial(_put_back, before))
        raise
    return queued


def _require_readable(record: DatasetRecord, directory: Path) -> None:
    """Check that what is needed to label a dataset again is there.

    Raises:
        Conflict: neither its archive is kept nor what was found in it.
    """
    if is_kept(directory) or record.path or (directory / datasets.UPLOAD_FILE).exists():
        return
    if record.images is None:
        raise Conflict(
            f"Dataset {record.id!r} could not be read, and its archive is not kept any more. "
            "Submit it again, with `reading`."
        )
    raise Conflict(
        f"Dataset {record.id!r} was read by an earlier release, which kept only what it used, "
        "so that it can't be read in another way. Submit its archive again, with `reading`."
    )


def _require_no_relatives(records: RecordStore[DatasetRecord], record: DatasetRecord) -> None:
    """Check that no corrections depend on how a dataset is read.

    Raises:
        Conflict: they do.
    """
    if record.parent is not None:
        raise Conflict(
            f"Dataset {record.id!r} was made of dataset {record.parent!r} and has its reading. "
            f"Correct the labels of single images instead, or have {record.line!r} read in another "
            "way before it is corrected."
        )
    if children := _children(records, record.id):
        raise Conflict(
            f"Dataset {record.id!r} can't be read in another way: {_named(children)} made of it, "
            "with corrections of its labels as they are. Remove what was made of it first, or "
            "submit the images again."
        )


def _require_childless(records: RecordStore[DatasetRecord], dataset_id: str) -> None:
    """Check that no dataset needs the files of this one.

    Raises:
        Conflict: one does.
    """
    if children := _children(records, dataset_id):
        raise Conflict(
            f"Dataset {dataset_id!r} can't be removed: {_named(children)} made of it, without "
            "copies of its images. Remove what was made of it first."
        )


def _children(records: RecordStore[DatasetRecord], dataset_id: str) -> list[str]:
    """Return the ids of the datasets that were made of one.

    Raises:
        Conflict: that is not known.
    """
    try:
        return children_of(records.directory(dataset_id))
    except RecordCorrupt as corrupt:
        raise Conflict(
            f"It is unknown which datasets were made of dataset {dataset_id!r}: {corrupt.detail}"
        ) from None


def _named(children: list[str]) -> str:
    shown = ", ".join(map(repr, children[:_SHOWN]))
    if len(children) == 1:
        return f"dataset {shown} was"
    more = len(children) - _SHOWN
    return f"datasets {shown} and {more} more were" if more > 0 else f"datasets {shown} were"


def _put_back(before: DatasetRecord, record: DatasetRecord) -> None:
    for name in ("reading", "reading_before", "refused", "revision", "state", "error", "submitted"):
        setattr(record, name, getattr(before, name))


def get_dataset(trainer: Trainer, dataset_id: str) -> DatasetRecord:
    """Return a dataset; it has failed, with the reason, if the one with its images is gone.

    Raises:
        NotFound, RecordCorrupt, Unavailable: its record can't be read.
    """
    dataset = Dataset.open(trainer.stores.datasets, trainer.settings, dataset_id)
    try:
        dataset.require_owners()
    except InvalidDataset as gone:
        error = ErrorInfo(type=type(gone).__name__, detail=gone.detail)
        return dataset.record.model_copy(update={"state": DatasetState.FAILED, "error": error})
    return dataset.record


def list_images(trainer: Trainer, dataset_id: str, query: ImageQuery) -> DatasetImagePage:
    """Return a page of a dataset's images.

    Raises:
        Conflict: the dataset has not been read yet.
    """
    return dataset_images.list_images(_read_dataset(trainer, dataset_id), query)


def list_rejected(trainer: Trainer, dataset_id: str, query: ListQuery) -> RejectedPage:
    """Return a page of the files of a dataset that were rejected.

    Raises:
        Conflict: the dataset has not been read yet.
    """
    return dataset_images.list_rejected(_read_dataset(trainer, dataset_id), query)


def list_doubles(trainer: Trainer, dataset_id: str, query: ListQuery) -> DoublesPage:
    """Return a page of the groups of nearly equal images of a dataset.

    Raises:
        Conflict: the dataset has not been read yet, or an earlier release has read it.
    """
    dataset = _read_dataset(trainer, dataset_id)
    doubles = dataset.record.doubles
    if doubles is None:
        raise Conflict(
            f"Dataset {dataset_id!r} was read by an earlier release, which did not look for near "
            "doubles."
        )
    return doubles_page(dataset.directory, query, doubles.groups)


def get_image(trainer: Trainer, dataset_id: str, sha256: str) -> tuple[BinaryIO, str]:
    """Return the open file of a used image, and its media type.

    Raises:
        Conflict: the dataset has not been read yet.
        NotFound: it uses no such image.
    """
    return dataset_images.open_image(_read_dataset(trainer, dataset_id), sha256)


def get_thumbnail(trainer: Trainer, dataset_id: str, sha256: str) -> tuple[bytes, str]:
    """Return the bytes of the thumbnail of a used image, and their media type.

    Raises:
        Conflict: the dataset has not been read yet.
        NotFound: it uses no such image, or has no thumbnail of it.
    """
    return dataset_images.find_small(_read_dataset(trainer, dataset_id), sha256)


def _read_dataset(trainer: Trainer, dataset_id: str) -> Dataset:
    dataset = Dataset.open(trainer.stores.datasets, trainer.settings, dataset_id)
    dataset.require_read()
    return dataset


def delete_dataset(trainer: Trainer, dataset_id: str) -> None:
    """Remove a dataset and its images.

    Raises:
        NotFound: no dataset has this id.
        Conflict: it is being read, a training on it has not ended, another dataset was made of it,
            or a training's record can't be read, so that it is not known which dataset it uses.
    """
    datasets_ = trainer.stores.datasets
    try:
        datasets_.get(dataset_id)
    except (RecordCorrupt, Unavailable):
        _require_childless(datasets_, dataset_id)
        _require_unused(trainer, dataset_id)
        datasets_.delete_unreadable(dataset_id)
        return
    with _lease(datasets_, dataset_id) as held, datasets_.locked(dataset_id):
        # Checked first, for a better message: most datasets are read for a training.
        _require_unused(trainer, dataset_id)
        _require_childless(datasets_, dataset_id)
        if held is None:
            raise Conflict(f"Dataset {dataset_id!r} is being read.")
        datasets_.delete(dataset_id)


@contextmanager
def _lease(records: RecordStore[DatasetRecord], dataset_id: str) -> Iterator[Lease | None]:
    """Hold the lease of a dataset; yield None if a process reads it.

    A worker that has read it releases its lease a moment after the record says so. That moment is
    waited for, as clients go on once they see the record.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with records.lease(dataset_id) as held:
            settled = held is None and not records.get(dataset_id).state.unread
            if not settled or time.monotonic() >= deadline:
                yield held
                return
        time.sleep(POLL_SECONDS)


def _require_unused(trainer: Trainer, dataset_id: str) -> None:
    try:
        users = users_of(trainer.stores, dataset_id)
    except RecordCorrupt as corrupt:
        raise Conflict(
            f"It is unknown whether dataset {dataset_id!r} is in use: {corrupt.detail} "
            "Repair that record, or remove it with DELETE /v1/trainings/{id} or "
            "/v1/comparisons/{id}."
        ) from None
    if users:
        is_comparison = trainer.stores.comparisons.directory(users[0]).exists()
        what = "comparison" if is_comparison else "training"
        raise Conflict(f"Dataset {dataset_id!r} is in use: {what} {users[0]!r} has not ended.")
