"""From stored features to a trained head."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones.features import FeatureStore
from trainer_service.datasets.records import ImageRecord
from trainer_service.errors import TransientFailure
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.head.best_epoch import Epoch
from trainer_service.phases.head.head import HeadData, TrainedHead, Truth, train_head
from trainer_service.phases.head.network import FrozenNetwork, Network
from trainer_service.phases.work import Work
from trainer_service.store.events.progress import EpochReport, Ticker
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import CacheUse, State, TrainingRecord
from trainer_service.store.shards import ShardResult, too_many_lost

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network, and how its training went.

    Attributes:
        splits: the images of train, validation and test.
        history: loss, accuracy, val_loss, val_accuracy and learning_rate of each epoch.
        best_epoch: the epoch, from 1, whose weights the network has.
    """

    network: Network
    splits: dict[str, list[ImageRecord]]
    history: list[Epoch]
    best_epoch: int


def fit(work: Work) -> Trained:
    """Split the images and train the head; the features of the test images are not looked at.

    Raises:
        TrainingCancelled: the training was cancelled.
        InvalidDataset: a label has too few usable images for the split.
        InvalidRequest: the loss is no longer a number.
        TransientFailure: more images were lost since the dataset was read than a training goes on
            without, or all images of a label, or features were removed.
    """
    images = _images_with_features(work)
    splits = work.split(images)
    labels = sorted({image.label for image in images})
    _enter_head(work, splits)
    backbone = Backbone.of(work, work.shards.precision())
    train, validation = (
        head_data(backbone.features, splits[part], labels) for part in ("train", "validation")
    )
    head = _train(work, train, validation, labels)
    network = FrozenNetwork(labels, backbone, head.model)
    return Trained(network, splits, head.history, head.best_epoch)


def _images_with_features(work: Work) -> list[ImageRecord]:
    """Return the images that have features, and note the others as rejected in the record.

    An image has none if it could not be decoded, or was lost, while its shard was computed.

    Raises:
        TransientFailure: more images were lost than a training goes on without, or all of a label.
    """
    results = work.shards.results()
    dataset = work.dataset()
    images = dataset.used_images()
    _require_few_lost(images, results)
    reasons = {sha256: why for result in results for sha256, why in result.rejected.items()}
    good = [image for image in images if image.sha256 not in reasons]
    rejected = [
        RejectedImage(
            name=image.name,
            label=image.label,
            verdict="unreadable",
            detail=reasons[image.sha256],
        )
        for image in images
        if image.sha256 in reasons
    ]
    work.update(partial(_note, dataset.record, good, rejected))
    _require_labels(images, good)
    return good


def _note(
    dataset: DatasetRecord,
    good: list[ImageRecord],
    rejected: list[RejectedImage],
    record: TrainingRecord,
) -> None:
    """Note in a training's record which images it uses, and which were rejected meanwhile."""
    verdicts = Counter(dataset.verdicts)
    verdicts.update(image.verdict for image in rejected)
    record.dataset.reject([*rejected, *dataset.rejected], dict(verdicts))
    record.dataset.images = len(good)
    labels = Counter(image.label for image in good)
    record.dataset.count_labels(dict(sorted(labels.items())))
    cache = record.cache or CacheUse(reused=0, computed=0, seconds_saved=0)
    record.cache = cache.model_copy(update={"computed": len(good) - cache.reused})


def _require_few_lost(images: list[ImageRecord], results: list[ShardResult]) -> None:
    """Check that no more of the used images were lost than a training goes on without.

    Raises:
        TransientFailure: more were lost; an example is named.
    """
    reasons = {sha256: result.rejected[sha256] for result in results for sha256 in result.lost}
    lost = [image for image in images if image.sha256 in reasons]
    example = f"{lost[0].name}: {reasons[lost[0].sha256]}" if lost else ""
    if words := too_many_lost(len(lost), len(images), example):
        raise TransientFailure(words)


def _require_labels(images: list[ImageRecord], good: list[ImageRecord]) -> None:
    """Check that every label still has images: without one, it would be another classifier.

    Raises:
        TransientFailure: a label has none left.
    """
    lost = sorted({image.label for image in images} - {image.label for image in good})
    if lost:
        shown = ", ".join(map(repr, lost[:_SHOWN]))
        raise TransientFailure(
            f"No image is left for {len(lost)} of the labels: {shown}. All were rejected since the "
            "dataset was read; the record says why."
        )


def _enter_head(work: Work, splits: dict[str, list[ImageRecord]]) -> None:
    def enter(record: TrainingRecord) -> None:
        record.dataset.split = {name: len(part) for name, part in splits.items()}
        record.enter(State.HEAD)

    work.update(enter)
    work.worker.board.start(work.record.id, State.HEAD, work.record.request.epochs)


def truth_of(images: list[ImageRecord], labels: list[str]) -> Truth:
    """Return the index of each image's label: int64 (n,)."""
    index = {label: position for position, label in enumerate(labels)}
    return np.array([index[image.label] for image in images], np.int64)


def head_data(store: FeatureStore, images: list[ImageRecord], labels: list[str]) -> HeadData:
    """Return the features of some images, and the indices of their labels."""
    return HeadData(store.read([image.sha256 for image in images]), truth_of(images, labels))


def _train(work: Work, train: HeadData, validation: HeadData, labels: list[str]) -> TrainedHead:
    """Train the head; its epochs are reported, and end it when the training is asked to stop."""
    worker, request, check_cancelled = work.worker, work.record.request, work.check_cancelled
    ticker = Ticker(worker.board, work.record.id)
    report = EpochReport(worker.stores.events, work.record.id, request.epochs)

    def on_epoch(epoch: int, logs: Epoch) -> bool:
        check_cancelled()
        report(epoch, logs)
        ticker(epoch, last=epoch == request.epochs)
        return check_cancelled.stop_after is not None and epoch >= check_cancelled.stop_after

    load_tensorflow(worker.threads)
    try:
        return train_head(train, validation, labels, request, on_epoch)
    finally:
        report.flush()
