"""From stored features to a trained head."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from shared.engines.tensorflow_engine import load_tensorflow
from trainer_service.backbones import weights
from trainer_service.backbones.architectures import find_architecture
from trainer_service.backbones.features import FeatureStore
from trainer_service.datasets.records import ImageRecord
from trainer_service.errors import TransientFailure
from trainer_service.phases.backbone import feature_store
from trainer_service.phases.head.best_epoch import Epoch
from trainer_service.phases.head.head import HeadData, TrainedHead, Truth, train_head
from trainer_service.phases.head.network import FrozenNetwork, Network
from trainer_service.phases.work import Worker, split
from trainer_service.store.cancellation import CancellationCheck
from trainer_service.store.events.progress import EpochReport, Ticker
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import CacheUse, State, TrainingRecord
from trainer_service.store.shards import ShardResult, Shards, too_many_lost
from trainer_service.store.stores import BACKBONES

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


def fit(worker: Worker, record: TrainingRecord, check_cancelled: CancellationCheck) -> Trained:
    """Split the images and train the head; the features of the test images are not looked at.

    Raises:
        TrainingCancelled: it was cancelled meanwhile.
        InvalidDataset: a label has too few usable images for the split.
        TransientFailure: more images were lost on the way than may be, or all of a label.
    """
    images = _images_with_features(worker, record)
    splits = split(record, images)
    labels = sorted({image.label for image in images})
    _enter_head(worker, record, splits)
    precision = Shards(worker.stores.trainings.directory(record.id)).precision()
    architecture = find_architecture(record.architecture)
    resolved = weights.resolve(architecture, worker.settings, check_cancelled)
    features = feature_store(worker.settings, architecture, resolved, precision)
    train, validation = (
        head_data(features, splits[part], labels) for part in ("train", "validation")
    )
    head = _train(worker, record, train, validation, labels, check_cancelled)
    network = FrozenNetwork(
        labels,
        precision,
        architecture,
        resolved,
        head.model,
        features,
        worker.settings.store / BACKBONES,
    )
    return Trained(network, splits, head.history, head.best_epoch)


def _images_with_features(worker: Worker, record: TrainingRecord) -> list[ImageRecord]:
    """Return the images that have features; the others were found bad while decoding."""
    directory = worker.stores.trainings.directory(record.id)
    results = Shards(directory).results()
    rejected: dict[str, str] = {}
    for result in results:
        rejected |= result.rejected
    dataset = worker.dataset_of(record)
    images = dataset.used_images()
    _require_few_lost(images, results)
    own = [
        RejectedImage(
            name=image.name,
            label=image.label,
            verdict="unreadable",
            detail=rejected[image.sha256],
        )
        for image in images
        if image.sha256 in rejected
    ]
    good = [image for image in images if image.sha256 not in rejected]

    def note(current: TrainingRecord) -> None:
        verdicts = Counter(dataset.record.verdicts)
        verdicts.update(image.verdict for image in own)
        current.dataset.reject([*own, *dataset.record.rejected], dict(verdicts))
        current.dataset.images = len(good)
        labels = Counter(image.label for image in good)
        current.dataset.count_labels(dict(sorted(labels.items())))
        cache = current.cache or CacheUse(reused=0, computed=0, seconds_saved=0)
        current.cache = cache.model_copy(update={"computed": len(good) - cache.reused})

    worker.stores.trainings.update(record.id, note)
    _require_labels(images, good)
    return good


def _require_few_lost(images: list[ImageRecord], results: list[ShardResult]) -> None:
    """Check that hardly any of the used images were lost on the way.

    Raises:
        TransientFailure: there are more than single ones.
    """
    reasons = {sha256: result.rejected[sha256] for result in results for sha256 in result.lost}
    lost = [image for image in images if image.sha256 in reasons]
    example = f"{lost[0].name}: {reasons[lost[0].sha256]}" if lost else ""
    if words := too_many_lost(len(lost), len(images), example):
        raise TransientFailure(words)


def _require_labels(images: list[ImageRecord], good: list[ImageRecord]) -> None:
    """Check that no label was lost with its few images: a classifier without it is another one.

    Raises:
        TransientFailure: one was.
    """
    lost = sorted({image.label for image in images} - {image.label for image in good})
    if lost:
        shown = ", ".join(map(repr, lost[:_SHOWN]))
        raise TransientFailure(
            f"No image is left of {len(lost)} of the labels: {shown}. All were rejected since the "
            "dataset was read; the record says why."
        )


def _enter_head(
    worker: Worker, record: TrainingRecord, splits: dict[str, list[ImageRecord]]
) -> None:
    def enter(current: TrainingRecord) -> None:
        current.dataset.split = {name: len(part) for name, part in splits.items()}
        current.enter(State.HEAD)

    worker.stores.trainings.update(record.id, enter)
    worker.board.start(record.id, State.HEAD, record.request.epochs)


def truth_of(images: list[ImageRecord], labels: list[str]) -> Truth:
    """Return the index of each image's label: int64 (n,)."""
    index = {label: position for position, label in enumerate(labels)}
    return np.array([index[image.label] for image in images], np.int64)


def head_data(store: FeatureStore, images: list[ImageRecord], labels: list[str]) -> HeadData:
    """Return the features of some images, and the indices of their labels."""
    return HeadData(store.read([image.sha256 for image in images]), truth_of(images, labels))


def _train(  # noqa: PLR0913, PLR0917
    worker: Worker,
    record: TrainingRecord,
    train: HeadData,
    validation: HeadData,
    labels: list[str],
    check_cancelled: CancellationCheck,
) -> TrainedHead:
    ticker = Ticker(worker.board, record.id)
    report = EpochReport(worker.stores.events, record.id, record.request.epochs)

    def on_epoch(epoch: int, logs: Epoch) -> bool:
        check_cancelled()
        report(epoch, logs)
        ticker(epoch, last=epoch == record.request.epochs)
        return check_cancelled.stop_after is not None and epoch >= check_cancelled.stop_after

    load_tensorflow(worker.threads)
    try:
        return train_head(train, validation, labels, record.request, on_epoch)
    finally:
        report.flush()
