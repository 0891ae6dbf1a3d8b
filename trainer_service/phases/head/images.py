"""The images that a head is trained on: those whose features were computed."""

from collections import Counter
from functools import partial

from trainer_service.datasets.records import ImageRecord
from trainer_service.errors import TransientFailure
from trainer_service.phases.work import Work
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.training_record import CacheUse, TrainingRecord
from trainer_service.store.shards import ShardResult, too_many_lost

_SHOWN = 3


def images_with_features(work: Work) -> list[ImageRecord]:
    """Return the images that have features, and note the others as rejected in the record.

    An image has none if it could not be decoded, or was lost, while its shard was computed.

    Raises:
        TransientFailure: more images were lost than a training tolerates, or all of a label.
    """
    results = work.shards.results()
    dataset = work.dataset()
    images = work.used_images(dataset)
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
    """Check that no more of the used images were lost than a training tolerates.

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
