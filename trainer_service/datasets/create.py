"""Creates datasets from uploads and paths. The trainer API imports this; it decodes no image."""

from datetime import UTC, datetime
from pathlib import Path

from shared.errors import InvalidRequest, Unavailable
from shared.files import is_fault_of_the_file
from shared.identifiers import new_id
from trainer_service.requests.reading import ReadingRequest
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.record_store import RecordStore

UPLOAD_FILE = "upload"


def new_dataset(
    source: str,
    *,
    path: bool,
    submitted: bool,
    dataset_id: str | None = None,
    reading: ReadingRequest | None = None,
) -> DatasetRecord:
    return DatasetRecord(
        id=dataset_id or new_id(),
        state=DatasetState.QUEUED,
        source=source,
        path=path,
        submitted=submitted,
        reading=reading or ReadingRequest(),
        created_at=datetime.now(UTC),
    )


def create_from_upload(  # noqa: PLR0913 - three have a default
    datasets: RecordStore[DatasetRecord],
    upload: Path,
    name: str,
    *,
    submitted: bool = False,
    dataset_id: str | None = None,
    reading: ReadingRequest | None = None,
) -> DatasetRecord:
    """Make a dataset of an uploaded archive; `upload` is moved into it.

    Args:
        datasets: where the record will lie.
        upload: the archive.
        name: what the user calls it.
        submitted: whether it is to be read by itself, not only when a training needs it.
        dataset_id: its id, if that is not to be a new one.
        reading: what the user has decided on how it is read.
    """
    source = Path(name).name or "archive"
    record = new_dataset(
        source, path=False, submitted=submitted, dataset_id=dataset_id, reading=reading
    )
    directory = datasets.directory(record.id)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        upload.rename(directory / UPLOAD_FILE)
        datasets.create(record)
    except OSError:
        datasets.delete(record.id)
        raise
    return record


def create_from_path(  # noqa: PLR0913 - three have a default
    datasets: RecordStore[DatasetRecord],
    settings: TrainerSettings,
    path: str,
    *,
    submitted: bool = False,
    dataset_id: str | None = None,
    reading: ReadingRequest | None = None,
) -> DatasetRecord:
    """Make a dataset of a folder or archive below the datasets directory.

    Raises:
        InvalidRequest: there is no such directory, or the path leads out of it or nowhere.
    """
    locate(settings, path)
    record = new_dataset(
        path, path=True, submitted=submitted, dataset_id=dataset_id, reading=reading
    )
    datasets.create(record)
    return record


def locate(settings: TrainerSettings, path: str) -> Path:
    """Return where a path below the datasets directory lies.

    Raises:
        InvalidRequest: there is no such directory, or the path leads out of it or nowhere.
        Unavailable: the system can't tell now.
    """
    root = root_of(settings, path)
    try:
        found = (root / path).resolve()
        exists = found.exists()
    except ValueError:
        raise InvalidRequest(f"dataset.path: not a usable path. Received: {path!r}") from None
    except OSError as error:
        if is_fault_of_the_file(error):
            raise InvalidRequest(f"dataset.path: {error.strerror}. Received: {path!r}") from None
        raise Unavailable(f"{path!r} can't be accessed now: {error.strerror}.") from error
    if not found.is_relative_to(root):
        raise InvalidRequest(
            f"dataset.path: expected a path below the datasets directory. Received: {path!r}"
        )
    if not exists:
        raise InvalidRequest(
            f"dataset.path: it does not exist below the datasets directory. Received: {path!r}"
        )
    return found


def root_of(settings: TrainerSettings, path: str) -> Path:
    """Return the datasets directory, below which `path` is.

    Raises:
        InvalidRequest: nothing lies at that path.
    """
    if settings.datasets is None:
        raise InvalidRequest(
            "dataset.path: this trainer has no datasets directory: set HEADSTART_DATASETS, or "
            f"upload an archive instead. Received: {path!r}"
        )
    return settings.datasets.resolve()
