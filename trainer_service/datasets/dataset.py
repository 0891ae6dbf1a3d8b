"""A dataset of the store, and its images as this process sees them."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.errors import Conflict, InvalidRequest
from shared.files import open_below
from trainer_service.datasets.create import locate, root_of
from trainer_service.datasets.image_files import ImageFiles, not_seen
from trainer_service.datasets.records import (
    IMAGES_FOLDER,
    ImageRecord,
    load_images,
    records_corrupt,
)
from trainer_service.errors import InvalidDataset
from trainer_service.settings import TrainerSettings
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.record_store import RecordStore

_SHOWN = 3


def doubtful(record: DatasetRecord) -> str:
    """Return why nothing is trained on a dataset until its reading is confirmed, and what to do."""
    confirmed = record.reading.model_copy(update={"confirm": True})
    others = "".join(
        f" Or {other.reading.as_asked()}: {other.text}" for other in record.readings[:_SHOWN]
    )
    return (
        f"dataset {record.id}: {record.doubt} Nothing is trained on it until that is confirmed: "
        f"PUT /v1/datasets/{record.id}/reading with {confirmed.as_asked()}, or with another "
        f"reading.{others}"
    )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset with its images.

        dataset = Dataset.open(stores.datasets, settings, dataset_id)
        for image in dataset.used_images():
            data = dataset.files().read(image.file, image.sha256)

    Attributes:
        directory: where its records lie in the store, and the images of an archive.
        record: as it was when the dataset was opened.
    """

    settings: TrainerSettings
    directory: Path
    record: DatasetRecord

    @classmethod
    def open(
        cls, datasets: RecordStore[DatasetRecord], settings: TrainerSettings, dataset_id: str
    ) -> "Dataset":
        """Return the dataset of an id.

        Raises:
            DatasetNotFound, RecordCorrupt, Unavailable: its record can't be read.
        """
        return cls(settings, datasets.directory(dataset_id), datasets.get(dataset_id))

    @property
    def id(self) -> str:
        return self.record.id

    def require_read(self) -> None:
        """Check that the dataset's images are known.

        Raises:
            Conflict: it was not read yet, or can't be.
        """
        if self.record.state != DatasetState.READY:
            raise Conflict(
                f"The images of dataset {self.id!r} are not known: it is {self.record.state}."
            )

    def require_confirmed(self) -> None:
        """Check that it may be trained on as it was read.

        Raises:
            InvalidDataset: the reading is doubtful, and was not confirmed.
        """
        if self.record.doubt:
            raise InvalidDataset(doubtful(self.record))

    def used_images(self) -> list[ImageRecord]:
        """Return the images that can be trained on, sorted by the hash of their bytes.

        Raises:
            RecordCorrupt: their records are damaged, or not as many as were written.
        """
        used = [image for image in load_images(self.directory) if image.verdict == "used"]
        expected = self.record.images
        if expected not in {None, len(used)}:
            reason = (
                f"it has {len(used)} used images; {expected} were found when the dataset was read"
            )
            raise records_corrupt(self.directory, reason)
        return sorted(used, key=lambda image: image.sha256)

    def files(self) -> ImageFiles:
        """Return the files of the images.

        Raises:
            NotSeenHere: this process does not see the folder that they lie in.
        """
        most = self.settings.max_image_bytes
        if not self.record.in_place:
            images = self.directory / IMAGES_FOLDER
            return ImageFiles(self.directory, "HEADSTART_STORE", most, images)
        return ImageFiles(self.folder(), "HEADSTART_DATASETS", most)

    def path_of(self, image: ImageRecord) -> Path:
        """Return where an image lies.

        Raises:
            NotSeenHere: this process does not see the folder that it lies in.
        """
        return (self.folder() if self.record.in_place else self.directory) / image.file

    def folder(self) -> Path:
        """Return where the folder or archive lies that the dataset names by its path.

        Raises:
            NotSeenHere: this process does not see it.
        """
        setting, source = "HEADSTART_DATASETS", self.record.source
        if self.settings.datasets is None:
            raise not_seen(setting, Path(source), "nothing: it is not set on this worker")
        try:
            return locate(self.settings, source)
        except InvalidRequest:
            raise not_seen(setting, self.settings.datasets / source, "it does not exist") from None

    def open_image(self, image: ImageRecord) -> BinaryIO:
        """Open the file of a used image, without following a link out of the dataset.

        Raises:
            InvalidRequest: the folder of the dataset is gone.
            OSError: the file can't be opened; `is_fault_of_the_file` tells whether that is its
                fault.
        """
        if not self.record.in_place:
            return open_below(self.directory, image.file)
        root = root_of(self.settings, self.record.source)
        folder = locate(self.settings, self.record.source).relative_to(root)
        return open_below(root, (folder / image.file).as_posix())
