"""How a worker reads datasets and finds their images again."""

from collections.abc import Callable
from pathlib import Path

from shared.errors import HeadstartError, InvalidDataset, InvalidRequest, TooLarge
from shared.images import ImageLimits
from shared.lease import Lease, WorkersDied, require_survivable
from trainer_service.dataset.reader import read_dataset
from trainer_service.dataset.records import DatasetLimits, ImageRecord, image_path, load_images
from trainer_service.datasets import UPLOAD_FILE, locate
from trainer_service.image_files import ImageFiles, not_seen
from trainer_service.outcome import in_words
from trainer_service.record_store import RecordStore
from trainer_service.schemas import DatasetRecord, DatasetState, ErrorInfo, RejectedImage
from trainer_service.settings import TrainerSettings
from trainer_service.work_metrics import IMAGES_REJECTED


def source_of(
    datasets: RecordStore[DatasetRecord], settings: TrainerSettings, record: DatasetRecord
) -> Path:
    """Return the archive or folder that a dataset is read from.

    Raises:
        NotSeenHere: this worker does not see it.
    """
    if record.path:
        return _located(settings, record)
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
    folder = _located(settings, record) if record.in_place else None
    return lambda image: image_path(directory, image, folder)


def image_files(
    datasets: RecordStore[DatasetRecord], settings: TrainerSettings, record: DatasetRecord
) -> ImageFiles:
    """Return the files of a dataset's images, as this worker sees them.

    Raises:
        NotSeenHere: it does not see the folder that they lie in.
    """
    most = settings.max_image_bytes
    if not record.in_place:
        directory = datasets.directory(record.id)
        return ImageFiles(directory, "HEADSTART_STORE", most, directory / "images")
    return ImageFiles(_located(settings, record), "HEADSTART_DATASETS", most)


def read(
    datasets: RecordStore[DatasetRecord],
    settings: TrainerSettings,
    dataset_id: str,
    progress: Callable[[int, int], None] = lambda *_: None,
    waiting: Callable[[], None] = lambda: None,
) -> DatasetRecord:
    """Read a dataset unless that was done before; when two ask at once, the second waits.

    Args:
        datasets: where the record lies.
        settings: the datasets directory and the caps.
        dataset_id: which to read.
        progress: called with images done and images in all; what it raises ends the reading.
        waiting: called again and again while another process reads it; what it raises ends that.

    Raises:
        InvalidDataset, TooLarge: nothing can be trained on it; the record says the same.
        OSError: it could not be read now, as on a full disk; it is read anew when it is asked for.
        LeaseLost: another process has taken over, and may have finished.
    """
    with datasets.lease_in_turn(dataset_id, waiting) as held:
        record = datasets.get(dataset_id)
        if record.state == DatasetState.READY:
            return record
        if record.error is not None and not record.error.transient:
            raise InvalidDataset(record.error.detail)
        datasets.update(dataset_id, _set_reading)
        try:
            require_survivable(held)
            return _read(datasets, settings, record, progress, held)
        except (HeadstartError, OSError) as error:
            held.require()
            _record_failure(datasets, dataset_id, error)
            raise


def _located(settings: TrainerSettings, record: DatasetRecord) -> Path:
    """Return where a dataset lies that was named by its path, as this worker sees it."""
    setting = "HEADSTART_DATASETS"
    if settings.datasets is None:
        raise not_seen(setting, Path(record.source), "nothing: it is not set on this worker")
    try:
        return locate(settings, record.source)
    except InvalidRequest:
        expected = settings.datasets / record.source
        raise not_seen(setting, expected, "nothing lies there") from None


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

    def fill(ready: DatasetRecord) -> None:
        ready.state = DatasetState.READY
        ready.images = summary.images
        ready.labels = summary.labels
        ready.rejected = [RejectedImage(**image.model_dump()) for image in summary.rejected]
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
    permanent = isinstance(error, InvalidDataset | TooLarge | WorkersDied)
    transient = isinstance(error, OSError)

    def fail(record: DatasetRecord) -> None:
        # A cancelled training is no fault of the dataset's.
        record.state = DatasetState.FAILED if permanent or transient else DatasetState.QUEUED
        if permanent or transient:
            detail = in_words(error)
            record.error = ErrorInfo(type=type(error).__name__, detail=detail, transient=transient)

    datasets.update(dataset_id, fail)
