"""What the phases of a training work with."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from shared.images import ImageLimits
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord
from trainer_service.datasets.splits import SplitFractions, assign_splits
from trainer_service.settings import TrainerSettings
from trainer_service.steps import Step
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.stores import Stores


class Submit(Protocol):
    """Puts the steps of a training on the queue."""

    def submit(self, steps: Iterable[Step]) -> None: ...


@dataclass(frozen=True, slots=True)
class Worker:
    settings: TrainerSettings
    stores: Stores
    board: ProgressBoard
    submit: Submit

    def dataset_of(self, training: TrainingRecord) -> Dataset:
        """Return the dataset of a training."""
        return Dataset.open(self.stores.datasets, self.settings, training.dataset.id)

    @property
    def threads(self) -> int:
        return self.settings.threads or os.cpu_count() or 1

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(self.settings.max_image_bytes, self.settings.max_image_pixels)


def split(record: TrainingRecord, images: list[ImageRecord]) -> dict[str, list[ImageRecord]]:
    """Return the images of each of train, validation and test.

    Raises:
        InvalidDataset: a label has too few images.
    """
    fractions = SplitFractions(record.request.split.validation, record.request.split.test)
    assigned = assign_splits(images, fractions)
    parts: dict[str, list[ImageRecord]] = {"train": [], "validation": [], "test": []}
    for image in images:
        parts[assigned[image.sha256]].append(image)
    return parts
