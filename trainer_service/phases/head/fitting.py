"""From stored features to a trained head."""

from dataclasses import dataclass, field
from typing import Any

from shared.models.manifest import HeadInfo, TuneInfo
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.data import Probabilities, Truth, doubles_of, head_data
from trainer_service.phases.head.images import images_with_features
from trainer_service.phases.head.nearby import nearby
from trainer_service.phases.head.network import FrozenNetwork, Network
from trainer_service.phases.head.regression.rows import ViewRows
from trainer_service.phases.head.regression.view_rows import view_rows
from trainer_service.phases.head.solved import LinearHead
from trainer_service.phases.head.train import HeadTask, train_head
from trainer_service.phases.prepare.plan_views import solved_on
from trainer_service.phases.work import Work
from trainer_service.store.records.training_record import State, TrainingRecord


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network, and how its training went.

    Attributes:
        splits: the images of train, validation and test.
        head: how its head was chosen.
        history: loss, accuracy, val_loss and val_accuracy of each epoch, or of each attempt.
        best_epoch: the epoch or attempt, from 1, whose weights the network has.
        validated: its answers to images that it has not learnt from, and their labels.
        solved: its head, if it is a regression on the backbone as it was.
        tune: what came of fine-tuning, if it was asked for.
        tune_history: what is known of each epoch of that.
    """

    network: Network
    splits: dict[str, list[ImageRecord]]
    head: HeadInfo
    history: list[dict[str, Any]]
    best_epoch: int
    validated: tuple[Probabilities, Truth]
    solved: LinearHead | None = None
    tune: TuneInfo | None = None
    tune_history: list[dict[str, float]] = field(default_factory=list)


def fit(work: Work) -> Trained:
    """Split the images and train the head; the features of the test images are not looked at.

    Raises:
        TrainingCancelled: the training was cancelled.
        InvalidDataset: a label has too few usable images for the split.
        InvalidRequest: the loss is no longer a number.
        TransientFailure: more images were lost since the dataset was read than a training
            tolerates, or all images of a label, or features were removed.
    """
    images = images_with_features(work)
    splits = work.split(images)
    labels = sorted({image.label for image in images})
    backbone = Backbone.of(work, work.shards.precision())
    views = view_rows(backbone, solved_on(splits))
    seconds = None if work.record.comparison is None else _feature_seconds(backbone, images)
    _enter_head(work, splits, views, seconds)
    train, validation = (
        head_data(backbone, splits[part], labels) for part in ("train", "validation")
    )
    doubles = doubles_of([*splits["train"], *splits["validation"]])
    near = nearby(work, images)
    head = train_head(
        HeadTask(work, backbone.architecture, train, validation, labels, views, doubles, near)
    )
    network = FrozenNetwork(labels, backbone.with_taps(head.taps), head.model, head.solved)
    return Trained(network, splits, head.info, head.history, head.best, head.validated, head.solved)


def _feature_seconds(backbone: Backbone, images: list[ImageRecord]) -> float:
    wanted = [image.sha256 for image in images]
    rows = backbone.features.locate(wanted)
    return round(sum(rows[sha256].seconds for sha256 in wanted if sha256 in rows), 3)


def _enter_head(
    work: Work,
    splits: dict[str, list[ImageRecord]],
    views: ViewRows | None,
    feature_seconds: float | None,
) -> None:
    def enter(record: TrainingRecord) -> None:
        record.feature_seconds = feature_seconds
        if views is not None and record.cache is not None:
            record.cache.views_computed = max(len(views.images) - record.cache.views_reused, 0)
        record.dataset.split = {name: len(part) for name, part in splits.items()}
        record.enter(State.HEAD)

    work.update(enter)
