"""Pictures of other datasets in the store, to see whether a version calls them unknown."""

from collections.abc import Iterator
from heapq import nsmallest
from itertools import islice

import numpy as np

from shared.errors import HeadstartError
from shared.logs import get_logger
from trainer_service.backbones.features import Features
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord, iterate_images
from trainer_service.errors import TrainingCancelled
from trainer_service.phases.bottleneck.feature_computer import FeatureComputer
from trainer_service.phases.work import Work
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.shards import ShardImage

#: Of so many other datasets, the newest, pictures are taken.
MOST_DATASETS = 4
#: So many datasets are looked at, and so many images of each.
_MOST_LOOKED_AT, _MOST_RECORDS = 20, 20_000

log = get_logger(__name__)


def embed_others(work: Work, computer: FeatureComputer, most: int) -> Features:
    """Return the embeddings of pictures of other datasets in the store: float32 (n, width).

    A dataset that has one of the training's labels, or one of its images, is left out: its pictures
    may be of the same kind. So is one that this worker can't read now.

    Args:
        work: the training.
        computer: computes embeddings.
        most: how many pictures, of all datasets together.

    Raises:
        TrainingCancelled: the training was cancelled.
        MemoryError: there is no memory for them now.
    """
    chosen = list(islice(_others(work, most), MOST_DATASETS))
    rows = []
    for dataset, images in chosen:
        listed = [
            ShardImage(sha256=image.sha256, path=image.file)
            for image in images[: most // len(chosen)]
        ]
        try:
            used, features, _ = computer.compute(
                listed, dataset.files(), lambda _: work.check_cancelled()
            )
        except TrainingCancelled:
            raise
        except (HeadstartError, OSError) as error:
            log.info("another dataset can't be read", dataset=dataset.id, reason=str(error))
            continue
        rows += [features] if used else []
    return np.concatenate(rows) if rows else np.empty((0, 0), np.float32)


def _others(work: Work, most: int) -> Iterator[tuple[Dataset, list[ImageRecord]]]:
    """Yield other datasets, the newest first, with some of their images."""
    own = {image.sha256: image.label for image in work.dataset().used_images()}
    labels = set(own.values())
    datasets = work.worker.stores.datasets
    for listed in datasets.page(_MOST_LOOKED_AT, None)[0]:
        is_read = listed.state == DatasetState.READY
        if not is_read or listed.id == work.record.dataset.id or labels & listed.labels.keys():
            continue
        work.check_cancelled()
        try:
            dataset = Dataset.open(datasets, work.worker.settings, listed.id)
            images = [
                image
                for image in islice(iterate_images(dataset.directory), _MOST_RECORDS)
                if image.verdict == "used"
            ]
        except (HeadstartError, OSError) as error:
            log.info("another dataset can't be read", dataset=listed.id, reason=str(error))
            continue
        alike = any(image.label in labels or image.sha256 in own for image in images)
        if images and not alike:
            # The first by their hashes are as good as drawn.
            yield dataset, nsmallest(most, images, key=lambda image: image.sha256)
