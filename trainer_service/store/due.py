"""What the settings let retention remove, and when; nothing is removed here."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.models.annotations import read_annotations
from shared.models.model_store import is_sound
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.comparison_record import ComparisonRecord
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.stores import Stores

DAY = 86_400.0


@dataclass(frozen=True, order=True, slots=True)
class Shard:
    """Features or activations that were stored together.

    Attributes:
        used_at: when they were last used, in seconds since 1970, as the file server dates it.
        size: how many bytes they take.
        index: the path of their index, beside which they are.
    """

    used_at: float
    size: int
    index: Path

    @classmethod
    def of(cls, index: Path) -> "Shard":
        """Return the shard of an index.

        Raises:
            FileNotFoundError: the index is gone.
        """
        return cls(index.lstat().st_mtime, _bytes_of(index), index)


def shards_due(
    shards: Iterable[Shard], days: float, most: int, ahead: float = 0.0
) -> Iterator[tuple[Shard, float]]:
    """Yield shards, the one used last first, and when each is due, in seconds since 1970.

    Args:
        shards: the shards.
        days: how long they are kept after their last use; 0: for ever.
        most: how many bytes of them are kept; those beyond it are due at once. 0: all.
        ahead: by how many seconds the clock of this host is ahead of that of the files.
    """
    kept = 0
    for shard in sorted(shards, reverse=True):
        kept += shard.size
        if most and kept > most:
            yield shard, -math.inf
        elif days:
            yield shard, shard.used_at + ahead + days * DAY


def trainings_due(stores: Stores, days: float) -> Iterator[tuple[TrainingRecord, float]]:
    """Yield the trainings that have ended, and when each is due, in seconds since 1970.

    Those of a comparison go with it.

    Args:
        stores: the parts of the store.
        days: how long trainings are kept after their end; 0: for ever.
    """
    for record in stores.trainings.list() if days else []:
        if record.state.ended and not _goes_with_a_comparison(stores, record):
            yield record, record.transitions[-1].at.timestamp() + days * DAY


def comparisons_due(stores: Stores, days: float) -> Iterator[tuple[ComparisonRecord, float]]:
    """Yield the comparisons that have ended, and when each is due, in seconds since 1970.

    Args:
        stores: the parts of the store.
        days: how long they are kept after their end; 0: for ever.
    """
    for record in stores.comparisons.list() if days else []:
        if record.state.ended and record.to_publish is None:
            yield record, record.transitions[-1].at.timestamp() + days * DAY


def datasets_due(stores: Stores, days: float) -> Iterator[tuple[DatasetRecord, float]]:
    """Yield the datasets that no training uses, and when each is due, in seconds since 1970.

    Args:
        stores: the parts of the store.
        days: how long datasets are kept; 0: for ever.

    Raises:
        RecordCorrupt, Unavailable: a training's record can't be read.
    """
    used = stores.used_datasets() if days else set()
    for record in stores.datasets.list() if days else []:
        # Without a training on it, a dataset is only read if it was submitted on its own.
        awaited = record.submitted and record.state.unread
        if record.id not in used and not awaited:
            yield record, record.created_at.timestamp() + days * DAY


def superfluous_versions(models: WritableModelStore, name: str, keep: int) -> list[int]:
    """Return the versions that are older than the newest `keep` intact ones, and not served.

    Damaged versions do not count towards `keep`, as the predictor serves an older version instead
    of them.

    Args:
        models: the model store.
        name: the name of the model.
        keep: how many intact versions to keep.

    Raises:
        PinUnreadable, PromotionsUnreadable, Unavailable, OSError: the pin, the decisions or a
            version can't be read now.
    """
    sound = 0
    superfluous = []
    versions = models.versions(name)
    if len(versions) <= keep:
        return []
    for version in reversed(versions):
        if sound >= keep:
            superfluous.append(version)
        elif is_sound(models.directory(name, version)):
            sound += 1
    kept = models.served(name) | {*read_annotations(models.root / name).aliases().values()}
    return [version for version in superfluous if version not in kept]


def _goes_with_a_comparison(stores: Stores, training: TrainingRecord) -> bool:
    comparison = training.comparison
    return comparison is not None and stores.comparisons.directory(comparison).exists()


def _bytes_of(index: Path) -> int:
    """Return how many bytes the features of an index take; 0 if they are gone."""
    try:
        return index.with_suffix(".npy").lstat().st_size
    except FileNotFoundError:
        return 0
