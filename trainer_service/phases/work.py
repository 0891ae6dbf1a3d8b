"""What the phases of a training are given: the worker, and the step that it works on."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Protocol

from shared.images.decoding import ImageLimits
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord
from trainer_service.datasets.splits import SplitFractions, assign_splits
from trainer_service.errors import TrainingCancelled
from trainer_service.queue.steps import Step
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.events import WarningEvent
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.files.lease import Lease
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.record_index import Stamp
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.shards import Shards
from trainer_service.store.stores import Stores, TrainingStore

POLL_INTERVAL = 0.3


def fewest_by_label(images: Iterable[ImageRecord], most: int) -> list[ImageRecord]:
    """Return at most so many images of each label: the first by their hashes, as good as drawn."""
    found: dict[str, list[ImageRecord]] = {}
    for image in sorted(images, key=lambda image: image.sha256):
        found.setdefault(image.label, []).append(image)
    return [image for label in sorted(found) for image in found[label][:most]]


class Queue(Protocol):
    """Where a step submits the steps that come after it."""

    def submit(self, steps: Iterable[Step]) -> None:
        """Put steps at the end of the queue."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that works on steps: its settings, its store and its queue."""

    settings: TrainerSettings
    stores: Stores
    board: ProgressBoard
    queue: Queue

    @property
    def threads(self) -> int:
        """How many CPU threads it may use: the setting, or one for each core."""
        return self.settings.threads or os.cpu_count() or 1

    @property
    def image_limits(self) -> ImageLimits:
        """The largest image that it decodes."""
        return ImageLimits(self.settings.max_image_bytes, self.settings.max_image_pixels)

    def warn_of_setback(self, training_id: str, reason: str) -> None:
        """Add an event to a training that says why a step is tried again, once for each reason."""
        warning = WarningEvent(code="tried_again", detail=f"A step is tried again: {reason}")
        self.stores.events.append_once(training_id, warning)


class CancellationCheck:
    """Checks for requests to cancel or stop a training; call it as often as you like.

    It reads the small file with these requests at most about three times a second, and the record
    only when that has changed.

    Calling it raises TrainingCancelled if the training was cancelled or has ended.

    Attributes:
        stop_after: the last epoch to train, once a client has asked the training to stop.
        stop_tuning: whether a client has asked that since tuning has begun.
    """

    def __init__(self, trainings: TrainingStore, training_id: str) -> None:
        self.stop_after: int | None = None
        self.stop_tuning = False
        self._trainings = trainings
        self._training_id = training_id
        self._next = 0.0
        self._stamp: Stamp | None = None

    def __call__(self) -> None:
        if time.monotonic() >= self._next:
            self.now()

    def now(self) -> None:
        """Check immediately, for example before a step that can't be undone.

        Raises:
            TrainingCancelled: the training was cancelled or has ended.
        """
        self._next = time.monotonic() + POLL_INTERVAL
        asked = self._trainings.asked(self._training_id)
        self.stop_after = self.stop_after or asked.stop_after
        self.stop_tuning = self.stop_tuning or asked.stop_tuning
        if asked.cancel or self._has_ended():
            raise TrainingCancelled(f"Training {self._training_id} was cancelled.")

    def _has_ended(self) -> bool:
        """Return whether the record has changed and now says ended or cancelled."""
        stamp = self._trainings.stamp(self._training_id)
        if stamp == self._stamp:
            return False
        record = self._trainings.get(self._training_id)
        self._stamp, self.stop_after = stamp, record.stop_after
        self.stop_tuning = record.stop_tuning
        return record.cancel_requested or record.state.ended


@dataclass(slots=True)
class Work:
    """One step of a training, for as long as this process holds the step's lease.

        def publish_something(work: Work) -> None:
            work.enter(State.PUBLISHING)
            for image in work.dataset().used_images():
                work.check_cancelled()
                ...
            work.held.raise_if_lost()

    Attributes:
        worker: the process that does the step.
        step: the step, which goes back on the queue if this worker can't do it.
        record: the training's record as this process has last read or written it.
        held: the lease of the training, or of one of its shards.
        shards: the shards of the training.
        notes_directory: where `phases.setbacks` notes what kept workers from a step; it goes with
            the shards.
        check_cancelled: to be called often. It raises TrainingCancelled once the training is to be
            cancelled or has ended.
    """

    worker: Worker
    step: Step
    record: TrainingRecord
    held: Lease
    shards: Shards = field(init=False)
    notes_directory: Path = field(init=False)
    check_cancelled: CancellationCheck = field(init=False)

    def __post_init__(self) -> None:
        trainings = self.worker.stores.trainings
        self.shards = Shards(trainings.directory(self.record.id))
        self.notes_directory = self.shards.directory
        self.check_cancelled = CancellationCheck(trainings, self.record.id)

    def dataset(self) -> Dataset:
        """Open the dataset of the training.

        Raises:
            DatasetNotFound, RecordCorrupt, Unavailable: its record can't be read.
        """
        worker = self.worker
        return Dataset.open(worker.stores.datasets, worker.settings, self.record.dataset.known_id)

    @property
    def models(self) -> WritableModelStore:
        """The model store that the version goes to."""
        return self.worker.stores.models_of(self.record)

    def used_images(self, dataset: Dataset) -> list[ImageRecord]:
        """Return the images that the training uses; a trial uses few, and none of the test images.

        Args:
            dataset: that of the training.

        Raises:
            InvalidDataset: a label has too few images.
        """
        images = dataset.used_images()
        if self.record.trial_images is None:
            return images
        parts = self.split(images)
        return fewest_by_label([*parts["train"], *parts["validation"]], self.record.trial_images)

    def split(self, images: list[ImageRecord]) -> dict[str, list[ImageRecord]]:
        """Divide images of the dataset into "train", "validation" and "test", as was requested.

        Raises:
            InvalidDataset: a label has too few images.
        """
        asked = self.record.request.split
        assigned = assign_splits(images, SplitFractions(asked.validation, asked.test))
        parts: dict[str, list[ImageRecord]] = {"train": [], "validation": [], "test": []}
        for image in images:
            parts[assigned[image.sha256]].append(image)
        return parts

    def update(self, change: Callable[[TrainingRecord], None]) -> None:
        """Apply `change` to the training's record and write it; nothing is written if it raises."""
        self.record = self.worker.stores.trainings.update(self.record.id, change)

    def enter(self, state: State) -> None:
        """Move the training to a state.

        Raises:
            TrainingEnded: it has ended meanwhile.
        """
        self.update(methodcaller("enter", state))

    def warn(self, reason: str) -> None:
        """Tell those who follow the training why the step is tried again."""
        self.worker.warn_of_setback(self.record.id, reason)
