"""How a worker reads datasets and finds their images again."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from shared.errors import InvalidDataset, TooLarge, TrainingCancelled
from shared.images import ImageLimits
from shared.lease import Lease, WorkersDied, require_survivable
from trainer_service.dataset.reader import read_dataset
from trainer_service.dataset.records import (
    DatasetLimits,
    ImageRecord,
    image_path,
    load_images,
    save_rejected,
)
from trainer_service.datasets import UPLOAD_FILE, locate
from trainer_service.outcome import in_words
from trainer_service.record_store import RecordStore
from trainer_service.schemas import (
    NAMED_REJECTED,
    DatasetRecord,
    DatasetState,
    ErrorInfo,
    RejectedImage,
)
from trainer_service.settings import TrainerSettings
from trainer_service.waiting import must_be_read
from trainer_service.work_metrics import IMAGES_REJECTED


def source_of(
    datasets: RecordStore[DatasetRecord], settings: TrainerSettings, record: DatasetRecord
) -> Path:
    """Return the archive or folder that a dataset is read from."""
    if record.path:
        return locate(settings, record.source)
    return datasets.directory(record.id) / UPLOAD_FILE


def used_images(datasets: RecordStore[DatasetRecord], dataset_id: str) -> list[ImageRecord]:
    """Return the usable images of a dataset in an order that depends on nothing but them."""
    images = load_images(datasets.directory(dataset_id))
    used = [image for image in images if image.verdict == "used"]
    return sorted(used, key=lambda image: image.sha256)


def path_finder(
    datasets: RecordStore[DatasetRecord], settings: TrainerSettings, record: DatasetRecord
) -> Callable[[ImageRecord], Path]:
    """Return the function that tells where an image of the dataset lies."""
    directory = datasets.directory(record.id)
    folder = locate(settings, record.source) if record.in_place else None
    return lambda image: image_path(directory, image, folder)


def read(
    datasets: RecordStore[DatasetRecord],
    settings: TrainerSettings,
    dataset_id: str,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> DatasetRecord | None:
    """Read a dataset unless that was tried before, and return its record.

    Returns None if another process is at it.

    Args:
        datasets: where the record lies.
        settings: the datasets directory and the caps.
        dataset_id: which to read.
        progress: called with images done and images in all; what it raises ends the reading.

    Raises:
        InvalidDataset, TooLarge: nothing can be trained on it; the record says the same.
        TrainingCancelled: `progress` raised it; the dataset is as it was.
        Exception: it could not be read now, as on a full disk; the record says so.
        LeaseLost: another process has taken over, and may have finished.
    """
    with datasets.lease(dataset_id) as held:
        if held is None:
            return None
        record = datasets.get(dataset_id)
        if not must_be_read(record):
            return record
        datasets.update(dataset_id, _set_reading)
        try:
            require_survivable(held)
            return _read(datasets, settings, record, progress, held)
        except Exception as error:
            held.require()
            _record_failure(datasets, dataset_id, error)
            raise


def _read(
    datasets: RecordStore[DatasetRecord],
    settings: TrainerSettings,
    record: DatasetRecord,
    progress: Callable[[int, int], None],
    held: Lease,
) -> DatasetRecord:
    directory = datasets.directory(record.id)
    source = source_of(datasets, settings, record)
    limits = DatasetLimits(
        settings.max_dataset_bytes,
        settings.max_dataset_files,
        ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
    )

    def advance(done: int, total: int) -> None:
        held.require()
        progress(done, total)

    summary = read_dataset(
        source, directory, limits, advance, threads=settings.threads, name=record.source
    )
    held.require()
    save_rejected(directory, summary.rejected)

    def fill(ready: DatasetRecord) -> None:
        ready.state = DatasetState.READY
        ready.images = summary.images
        ready.count_labels(summary.labels)
        named = [RejectedImage(**image.model_dump()) for image in summary.rejected[:NAMED_REJECTED]]
        ready.reject(named, dict(Counter(image.verdict for image in summary.rejected)))
        ready.ignored = summary.ignored
        ready.layout = summary.layout
        ready.has_split = summary.has_split
        ready.digest = summary.digest
        ready.in_place = source.is_dir()

    ready = datasets.update(record.id, fill)
    for image in summary.rejected:
        IMAGES_REJECTED.labels(image.verdict).inc()
    if not record.path:
        source.unlink(missing_ok=True)
    return ready


def _set_reading(record: DatasetRecord) -> None:
    record.state = DatasetState.READING
    record.error = None


def _record_failure(
    datasets: RecordStore[DatasetRecord], dataset_id: str, error: Exception
) -> None:
    transient = not isinstance(error, InvalidDataset | TooLarge | WorkersDied)

    def fail(record: DatasetRecord) -> None:
        if isinstance(error, TrainingCancelled):  # which is no fault of the dataset's
            record.state = DatasetState.QUEUED
            return
        record.state = DatasetState.FAILED
        detail = in_words(error)
        record.error = ErrorInfo(type=type(error).__name__, detail=detail, transient=transient)

    datasets.update(dataset_id, fail)
