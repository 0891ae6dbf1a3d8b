"""What a tail is to learn from and to be judged by: the rows of each part of the split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer_service.backbones.cut_table import Cut
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.head.fitting import Trained
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.tune.activations import Activations
from trainer_service.phases.tune.changes import CHANGED, harmless_changes
from trainer_service.phases.tune.estimate import Estimate, seconds_per_image, seconds_per_step
from trainer_service.phases.tune.progress import TuneProgress
from trainer_service.phases.tune.rows import Rows
from trainer_service.phases.tune.tail_data import TailAnswers, TailData
from trainer_service.phases.views import Views
from trainer_service.phases.work import Work
from trainer_service.requests.tune import CHANGES, Change, TuneRequest
from trainer_service.store.shards import ImagesLost, too_many_lost

#: So many validation images tell which changes leave the meaning of images as it is.
ASKED_IMAGES = 256
#: What it takes to look at an image, as a share of what it takes to learn from it.
_LOOK = 1 / 3


@dataclass(frozen=True, slots=True)
class TuneTask:
    """What is to be tuned.

    Attributes:
        work: the training.
        trained: the network as it was.
        asked: how it is to be tuned.
        cut: from where on.
    """

    work: Work
    trained: Trained
    asked: TuneRequest
    cut: Cut

    @property
    def seed(self) -> int:
        return self.work.record.request.seed

    @property
    def labels(self) -> list[str]:
        return self.trained.network.labels


@dataclass(frozen=True, slots=True)
class Parts:
    """The rows of training and validation images.

    Attributes:
        train: all views of what is learnt from.
        validation: the images that judge, as they are.
        views: which views of the training images there are.
        lost: images that can't be read any more, of any part; they are in none.
    """

    train: TailData
    validation: TailData
    views: Views
    lost: frozenset[str]


class PartsComputer:
    """Computes the parts of a task, and tells how far that is.

    Args:
        task: what is to be tuned.
        rows: where rows are stored and computed.
        tail: the `keras.Model` from rows to features, of which nothing was trained yet.
        progress: is told, and asked whether to go on.
    """

    def __init__(self, task: TuneTask, rows: Rows, tail: Any, progress: TuneProgress) -> None:
        self._task, self._rows, self._tail, self._progress = task, rows, tail, progress
        self._splits = task.trained.splits
        labels = {label: index for index, label in enumerate(task.labels)}
        self._truth = {
            image.sha256: labels[image.label] for part in self._splits.values() for image in part
        }
        self._done = 0
        self._lost: dict[str, str] = {}

    def compute(self, head: LinearHead) -> Parts:
        """Compute what is not stored yet.

        Args:
            head: solved on the features of the training images; it tells which changes of images
                leave their meaning as it is.

        Raises:
            TuningStopped: a client wants no more tuning.
            TrainingCancelled: the training was cancelled.
            TransientFailure: the disk can't hold the rows.
            ImagesLost: more images are lost than a training goes on without.
        """
        asked, rows = self._task.asked, self._rows
        count = {part: len(images) for part, images in self._splits.items()}
        asks = asked.augment == "auto" and asked.views > 1
        questions = len(CHANGES) * min(count["validation"], ASKED_IMAGES) if asks else 0
        known = count["validation"] + count["test"] + questions
        self._progress.start("views", known + asked.views * count["train"])
        validation = self._data(self._splits["validation"], rows.plain)
        self._data(self._splits["test"], rows.plain)
        changes = self._harmless(head, validation) if asks else _named(asked)
        views = Views.of(rows.plain.size, asked.views, changes, self._task.seed)
        self._progress.expect(self._done + views.count * count["train"])
        self._estimate(views)
        train = self._data(self._splits["train"], views)
        return Parts(train, validation, views, frozenset(self._lost))

    def _data(self, images: Sequence[ImageRecord], views: Views) -> TailData:
        before, progress = self._done, self._progress

        def advance(done: int) -> None:
            progress.check()
            progress.advance(before + done * views.count)

        activations = self._rows.compute(images, views, advance, self._lose)
        self._done += len(images) * views.count
        return TailData(activations, self._truth)

    def _harmless(self, head: LinearHead, validation: TailData) -> list[Change]:
        """Return the changes that leave the meaning of the validation images as it is."""
        plain = _first(validation, ASKED_IMAGES)
        asked = {sha256 for group in plain.activations.groups for sha256 in group}
        images = [image for image in self._splits["validation"] if image.sha256 in asked]
        size, seed = self._rows.plain.size, self._task.seed
        changed: dict[Change, TailData] = {
            change: self._data(images, Views(size, (CHANGED,), frozenset([change]), seed))
            for change in CHANGES
        }
        answers = TailAnswers(self._tail)
        return harmless_changes(answers, head, plain, changed, self._progress.check)

    def _estimate(self, views: Views) -> None:
        rows, check = self._rows, self._progress.check
        train, validation = (len(self._splits[part]) for part in ("train", "validation"))
        missing = rows.missing(self._splits["train"], views)
        each = seconds_per_image(rows.computer(views), missing, rows.files, check)
        step = seconds_per_step(self._tail, len(self._task.labels), check)
        estimate = Estimate(
            views_seconds=each * len(missing),
            epoch_seconds=step * (train + _LOOK * validation),
            epochs=self._task.asked.epochs,
            bytes=rows.bytes_of(train, views),
        )
        self._progress.estimate(estimate)

    def _lose(self, lost: dict[str, str]) -> None:
        """Note images that can't be read any more.

        Raises:
            ImagesLost: there are more of them than a training goes on without.
        """
        self._lost |= lost
        used = sum(map(len, self._splits.values()))
        example = next(
            (
                f"{image.name}: {self._lost[image.sha256]}"
                for part in self._splits.values()
                for image in part
                if image.sha256 in self._lost
            ),
            "",
        )
        if words := too_many_lost(len(self._lost), used, example):
            raise ImagesLost(words)


def _named(asked: TuneRequest) -> list[Change]:
    """Return the changes that a request names."""
    return list(asked.augment) if isinstance(asked.augment, list) else []


def _first(data: TailData, images: int) -> TailData:
    """Return the first groups of some data, which have so many images together if there are."""
    groups: list[list[str]] = []
    for group in data.activations.groups:
        if sum(map(len, groups)) >= images:
            break
        groups.append(group)
    stored = data.activations
    return TailData(Activations(stored.store, groups, stored.views), data.truth)
