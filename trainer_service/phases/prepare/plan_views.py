"""Which views of images a training needs, and which of them are stored already."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from shared.errors import InvalidRequest
from trainer_service.backbones.features import Row
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.backbone import Backbone
from trainer_service.phases.disk_room import megabytes
from trainer_service.phases.few_images import are_few
from trainer_service.phases.views import view_name
from trainer_service.store.shards import ShardImage

#: What a feature takes in memory while a head is trained.
_BYTES = np.dtype(np.float32).itemsize


def plan_views(
    backbone: Backbone, splits: Mapping[str, Sequence[ImageRecord]], most_bytes: int
) -> tuple[list[Row], list[ShardImage]]:
    """Return the stored rows of views, and the images of which views are missing.

    Views are needed of the images that heads are solved on: those for training and, if the head is
    cross-validated, those for validation.

    Args:
        backbone: says how many views there are of an image.
        splits: the images of "train", "validation" and "test".
        most_bytes: how much memory the features of views may take while the head is trained.

    Raises:
        InvalidRequest: they would take more.
    """
    numbers = backbone.views.numbers[1:]
    if not numbers:
        return [], []
    images = solved_on(splits)
    _require_memory(backbone, len(images) * len(numbers), most_bytes)
    names = {
        image.sha256: {number: view_name(image.sha256, number) for number in numbers}
        for image in images
    }
    features = backbone.view_features
    known = features.locate(name for own in names.values() for name in own.values())
    reused = [known[name] for own in names.values() for name in own.values() if name in known]
    features.use({row.shard for row in reused})
    missing = {
        sha256: [number for number, name in own.items() if name not in known]
        for sha256, own in names.items()
    }
    return reused, [
        ShardImage(sha256=image.sha256, path=image.file, views=missing[image.sha256])
        for image in images
        if missing[image.sha256]
    ]


def solved_on(splits: Mapping[str, Sequence[ImageRecord]]) -> list[ImageRecord]:
    """Return the images that heads are solved on, those for training first."""
    train, validation = splits["train"], splits["validation"]
    rarest = min(Counter(image.label for image in train).values(), default=0)
    return [*train, *validation] if are_few(rarest, len(validation)) else [*train]


def _require_memory(backbone: Backbone, rows: int, most: int) -> None:
    width = backbone.architecture.feature_size_of(backbone.computed_taps)
    needed = rows * width * _BYTES
    if needed > most:
        raise InvalidRequest(
            f"views: the features of {rows:,} further views, {width:,} each, may take "
            f"{megabytes(needed)} of memory while the head is trained, and "
            f"HEADSTART_MAX_VIEWS_BYTES allows {megabytes(most)}. Send fewer views, or taps: last "
            "or late, or raise that setting on workers that have the memory"
        )
