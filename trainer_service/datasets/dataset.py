"""A dataset of the store, and its images as this process sees them."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.errors import Conflict, InvalidRequest
from shared.files import open_below
from trainer_service.datasets.create import locate, root_of
from trainer_service.datasets.image_files import ImageFiles, Place, not_seen, split_owner
from trainer_service.datasets.records import (
    IMAGES_FOLDER,
    ImageRecord,
    digest_of,
    load_images,
    records_corrupt,
)
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE
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
            RecordCorrupt: their records are damaged, or not those that were written.
        """
        used = [image for image in load_images(self.directory) if image.verdict == "used"]
        expected = self.record.images
        if expected not in {None, len(used)}:
            reason = (
                f"it has {len(used)} used images; {expected} were found when the dataset was read"
            )
            raise records_corrupt(self.directory, reason)
        if self.record.digest not in {None, digest_of(used)}:
            reason = "its images or their labels are not those of when the dataset was read"
            raise records_corrupt(self.directory, reason)
        return sorted(used, key=lambda image: image.sha256)

    def require_owners(self) -> None:
        """Check that the datasets are there that keep the files of its images.

        Raises:
            InvalidDataset: one is gone.
        """
        gone = [owner for owner in self.record.owners if not self._directory_of(owner).is_dir()]
        if gone and self.directory.is_dir():
            raise InvalidDataset(
                f"dataset {self.id} was made of dataset {gone[0]}, which has its images and is "
                "gone. Submit what that one was made of again."
            )

    def files(self) -> ImageFiles:
        """Return the files of the images.

        Raises:
            NotSeenHere: this process does not see the folder that they lie in.
        """
        record = self.record
        owners = record.owners or {"": record.source if record.in_place else None}
        places = {owner: self._place(owner, path) for owner, path in owners.items()}
        return ImageFiles(places, self.settings.max_image_bytes)

    def path_of(self, image: ImageRecord) -> Path:
        """Return where an image lies.

        Raises:
            NotSeenHere: this process does not see the folder that it lies in.
        """
        owner, path, name = self._owner_of(image)
        return self._place(owner, path).root / name

    def folder(self) -> Path:
        """Return where the folder or archive lies that the dataset names by its path.

        Raises:
            NotSeenHere: this process does not see it.
        """
        return self._see(self.record.source)

    def open_image(self, image: ImageRecord) -> BinaryIO:
        """Open the file of a used image, without following a link out of the dataset.

        Raises:
            InvalidRequest: the folder of the dataset is gone.
            OSError: the file can't be opened; `is_fault_of_the_file` tells whether that is its
                fault.
        """
        owner, path, name = self._owner_of(image)
        if path is None:
            return open_below(self._directory_of(owner), name)
        root = root_of(self.settings, path)
        folder = locate(self.settings, path).relative_to(root)
        return open_below(root, (folder / name).as_posix())

    def thumbnail_files(self) -> list[Path]:
        """Return the files in which the thumbnail of an image may be."""
        return [self._directory_of(owner) / THUMBNAILS_FILE for owner in self.record.owners or [""]]

    def _owner_of(self, image: ImageRecord) -> tuple[str, str | None, str]:
        """Return who keeps an image, the path if that is a folder, and the image's name there."""
        record = self.record
        if not record.owners:
            return "", record.source if record.in_place else None, image.file
        owner, name = split_owner(image.file)
        if owner not in record.owners:
            raise FileNotFoundError(errno.ENOENT, "no dataset has it", image.file)
        return owner, record.owners[owner], name

    def _place(self, owner: str, path: str | None) -> Place:
        if path is not None:
            folder = self._see(path)
            return Place(folder, "HEADSTART_DATASETS", folder)
        directory = self._directory_of(owner)
        return Place(directory, "HEADSTART_STORE", directory / IMAGES_FOLDER)

    def _directory_of(self, owner: str) -> Path:
        return self.directory.parent / owner if owner else self.directory

    def _see(self, path: str) -> Path:
        setting = "HEADSTART_DATASETS"
        if self.settings.datasets is None:
            raise not_seen(setting, Path(path), "nothing: it is not set on this worker")
        try:
            return locate(self.settings, path)
        except InvalidRequest:
            raise not_seen(setting, self.settings.datasets / path, "it does not exist") from None
