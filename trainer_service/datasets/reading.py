"""How a worker reads a dataset, once, and writes down what it found."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from shared.errors import TooLarge, Unavailable
from shared.images.decoding import ImageLimits
from shared.logs import get_logger
from trainer_service.datasets.children.additions import read_additions
from trainer_service.datasets.create import UPLOAD_FILE, root_of
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.doubles import save_doubles
from trainer_service.datasets.records import (
    DatasetLimits,
    DatasetSummary,
    iterate_images,
    save_rejected,
)
from trainer_service.datasets.scan.conclude import Origin, conclude
from trainer_service.datasets.scan.found import load_found
from trainer_service.datasets.scan.looks import LOOKS_FILE
from trainer_service.datasets.scan.reader import read_dataset
from trainer_service.datasets.scan.scans import is_kept
from trainer_service.datasets.sources.hang_guard import HangGuard, run_guarded
from trainer_service.errors import InvalidDataset, RecordCorrupt, Setback, TrainingCancelled
from trainer_service.settings import TrainerSettings
from trainer_service.store.files.lease import Lease, LeaseLost, WorkersDied, require_survivable
from trainer_service.store.outcome import in_words
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import ErrorInfo
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.work_metrics import IMAGES_REJECTED

#: Errors that say nothing of a dataset, which is still to be read then.
_PASSING = (Setback, Unavailable, TrainingCancelled)

log = get_logger(__name__)


def read(
    datasets: RecordStore[DatasetRecord],
    settings: TrainerSettings,
    dataset_id: str,
    progress: Callable[[int, int], None] = lambda *_: None,
    waiting: Callable[[], None] = lambda: None,
) -> DatasetRecord | None:
    """Read a dataset unless that was tried before, and return its record.

    Args:
        datasets: the records of datasets.
        settings: the settings with the datasets directory and the limits.
        dataset_id: the id of the dataset.
        progress: called with the number of images that are done, and of all images; what it raises
            ends the reading.
        waiting: called again and again until the dataset is read; what it raises ends the reading,
            even if that hangs.

    Returns:
        The record, or None if another process reads the dataset.

    Raises:
        InvalidDataset, TooLarge: nothing can be trained on it, or the reading that was asked for
            does not fit and it stays as it was read before; the record says the same.
        TrainingCancelled, Setback, Unavailable: it is still to be read.
        Exception: it could not be read now, for example because the disk is full; the record says
            so.
        LeaseLost: another process has taken over, and may have finished.
    """
    with datasets.lease(dataset_id) as held:
        if held is None:
            return None
        record = datasets.get(dataset_id)
        if not record.state.unread:
            return record
        datasets.update(dataset_id, _set_reading)
        dataset = Dataset(settings, datasets.directory(dataset_id), record)
        with _failure_recorded(datasets, dataset, held):
            require_survivable(held)
            summary = _read_guarded(dataset, held, progress, waiting)
            held.raise_if_lost()
            return _fill(datasets, record, summary)


@contextmanager
def _failure_recorded(
    datasets: RecordStore[DatasetRecord], dataset: Dataset, held: Lease
) -> Iterator[None]:
    """Write an error of the body into the dataset's record, unless the lease is lost."""
    try:
        yield
    except LeaseLost:
        raise
    except Exception as error:
        held.raise_if_lost()
        if not isinstance(error, _PASSING):
            _label_as_before(datasets, dataset)
        record_failure(datasets, dataset.id, error)
        raise


def _label_as_before(datasets: RecordStore[DatasetRecord], dataset: Dataset) -> None:
    """Label the images by the reading before, if the one that was tried has changed that.

    If this fails, the dataset has no reading any more to go back to.
    """
    before = dataset.record.reading_before
    if before is None:
        return

    def forget(record: DatasetRecord) -> None:
        record.reading_before = None

    try:
        if _is_labelled_as_told(dataset):
            return
        record = dataset.record.model_copy(update={"reading": before})
        summary = _label_anew(replace(dataset, record=record))
    except Exception as error:  # noqa: BLE001 - the error that led here is the one to be told
        log.warning("can't be labelled as before", dataset_id=dataset.id, reason=in_words(error))
        datasets.update(dataset.id, forget)
    else:
        datasets.update(dataset.id, summary.fill)


def _is_labelled_as_told(dataset: Dataset) -> bool:
    """Return whether the images have the labels that the dataset's record counts."""
    try:
        dataset.used_images()
    except RecordCorrupt:
        return False
    return dataset.record.digest is not None


def _read_guarded(
    dataset: Dataset,
    held: Lease,
    progress: Callable[[int, int], None],
    waiting: Callable[[], None],
) -> DatasetSummary:
    """Read a dataset in a thread that is left behind if a system call of it hangs."""
    hang_guard = HangGuard()

    def advance(done: int, total: int) -> None:
        hang_guard.check()
        held.raise_if_lost()
        progress(done, total)

    return run_guarded(partial(_read, dataset, advance, hang_guard), hang_guard, waiting)


def _read(
    dataset: Dataset, advance: Callable[[int, int], None], hang_guard: HangGuard
) -> DatasetSummary:
    settings, directory, record = dataset.settings, dataset.directory, dataset.record
    if record.parent is None and is_kept(directory):
        return _label_anew(dataset)
    limits = DatasetLimits(
        settings.max_dataset_bytes,
        settings.max_dataset_files,
        ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
    )
    if record.parent is not None:
        return read_additions(dataset, limits, advance, hang_guard)
    with hang_guard.system_call(record.source):
        source, root = directory / UPLOAD_FILE, directory
        if record.path:
            source, root = dataset.folder(), root_of(settings, record.source)
    summary = read_dataset(
        source,
        directory,
        limits,
        advance,
        threads=settings.threads,
        name=record.source,
        root=root,
        hang_guard=hang_guard,
        reading=record.reading,
    )
    hang_guard.check()
    _save_lists(directory, summary)
    return summary


def _save_lists(directory: Path, summary: DatasetSummary) -> None:
    save_rejected(directory, summary.rejected)
    save_doubles(directory, summary.doubles or [])


def _label_anew(dataset: Dataset) -> DatasetSummary:
    """Label the images of a dataset that were read before."""
    record, directory = dataset.record, dataset.directory
    found = load_found(directory, iterate_images(directory))
    found.in_place = found.in_place or record.in_place
    origin = Origin(record.source, dataset.settings.max_dataset_files)
    summary = conclude(directory, found, origin, record.reading)
    if not summary.doubles and not (directory / LOOKS_FILE).exists():
        summary.doubles = None  # an earlier release has read them, and did not look for any
    _save_lists(directory, summary)
    return summary


def _fill(
    datasets: RecordStore[DatasetRecord], record: DatasetRecord, summary: DatasetSummary
) -> DatasetRecord:
    def fill(ready: DatasetRecord) -> None:
        ready.state = DatasetState.READY
        ready.reading_before = None
        summary.fill(ready)

    ready = datasets.update(record.id, fill)
    for image in summary.rejected if record.parent is None else ():
        IMAGES_REJECTED.labels(image.verdict).inc()
    if not record.path:
        (datasets.directory(record.id) / UPLOAD_FILE).unlink(missing_ok=True)
    return ready


def _set_reading(record: DatasetRecord) -> None:
    record.state = DatasetState.READING
    record.error = None


def put_back(datasets: RecordStore[DatasetRecord], dataset_id: str) -> None:
    """Put a dataset back to queued whose reader was killed and which no training waits for."""
    with datasets.lease(dataset_id) as held:
        if held is not None and datasets.get(dataset_id).state == DatasetState.READING:
            datasets.update(dataset_id, _set_queued)


def _set_queued(record: DatasetRecord) -> None:
    record.state = DatasetState.QUEUED


def record_failure(datasets: RecordStore[DatasetRecord], dataset_id: str, error: Exception) -> None:
    """Write into a dataset's record why it could not be read as it was to be."""
    transient = not isinstance(error, InvalidDataset | TooLarge | WorkersDied)

    def fail(record: DatasetRecord) -> None:
        if isinstance(error, _PASSING):
            record.state = DatasetState.QUEUED
            return
        detail = in_words(error)
        record.refuse(ErrorInfo(type=type(error).__name__, detail=detail, transient=transient))

    datasets.update(dataset_id, fail)
