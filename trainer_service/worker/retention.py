"""Removes what is no longer needed; docs/operations/retention.md describes the policy.

What killed processes left behind is always removed. Finished trainings, datasets, versions and
features are removed as far as the settings say. Nothing that is in use is removed.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import Any

from shared.errors import Unavailable
from shared.identifiers import is_id
from shared.logs import get_logger
from trainer_service.datasets.create import UPLOAD_FILE
from trainer_service.errors import RecordCorrupt
from trainer_service.settings import TrainerSettings
from trainer_service.store.due import (
    DAY,
    Shard,
    comparisons_due,
    datasets_due,
    shards_due,
    superfluous_versions,
    trainings_due,
)
from trainer_service.store.files.lease import LeaseWatch
from trainer_service.store.files.removal import remove_tree
from trainer_service.store.files.work_in_progress import (
    REMOVED,
    STAGING,
    directory_of,
    remove_if_abandoned,
)
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.record_store import RECORD_FILE, RecordStore
from trainer_service.store.stores import (
    ACTIVATIONS_FOLDER,
    BACKBONES,
    FEATURES_FOLDER,
    SHARDS,
    UPLOADS,
    Stores,
)
from trainer_service.store.unused_datasets import delete_unused

#: A temporary file of this age is abandoned, as writing a single file takes seconds.
TEMPORARY_SECONDS = 3600.0
KEYS_DAYS = 7.0
#: How far the clocks may be apart of the hosts that date trainings and files.
APART_SECONDS = 3600.0

TEMPORARY = (
    f"{FEATURES_FOLDER}/*/.*.tmp",
    f"{ACTIVATIONS_FOLDER}/*/.*.tmp",
    "*/*/.*.tmp",
    "*/.*.tmp",
    "datasets/*/images/*/.*.tmp",
)
WORKING = (
    f"{UPLOADS}/*",
    f"models/*/{STAGING}*",
    f"models/*/{REMOVED}*",
    f"comparisons/*/models/*/{STAGING}*",
    f"comparisons/{REMOVED}*",
    f"models/{REMOVED}*",
    f"{BACKBONES}/{STAGING}*",
    f"datasets/*/{STAGING}*",
    f"datasets/{REMOVED}*",
    f"trainings/{REMOVED}*",
)

log = get_logger(__name__)


class Retention:
    """Removes what is due; call it at intervals.

    Keep one instance for the lifetime of the process, as a dead holder of a lease is only
    recognised after several calls.

    Args:
        stores: the parts of the store.
        settings: the settings that say how long to keep what.
        clock: returns the time in seconds since 1970.
    """

    def __init__(
        self, stores: Stores, settings: TrainerSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._clock = clock
        self._watch = LeaseWatch(settings.lease_seconds)
        self._ahead = 0.0

    def __call__(self) -> list[str]:
        """Remove what is due and return the removed paths, relative to the store.

        Whatever can't be removed is logged, and the rest still is removed.
        """
        self._ahead = seconds_ahead_of(self._settings.store)
        removed: list[str] = []
        for due in (
            self._working, self._temporary, self._keys, self._incomplete, self._uploads,
            self._shards, self._incomplete_features, self._features, self._activations,
            self._versions, self._comparisons, self._trainings, self._datasets,
        ):  # fmt: skip
            try:
                for path in due():
                    name = path.relative_to(self._settings.store).as_posix()
                    log.info("removed", path=name)
                    removed.append(name)
            except (RecordCorrupt, Unavailable) as error:
                log.warning("kept: a training may use it", kind=due.__name__[1:], reason=str(error))
            except Exception:
                log.exception("the rest of what is due is removed later", kind=due.__name__[1:])
        return removed

    def _working(self) -> Iterator[Path]:
        """Remove the work in progress of processes that are gone."""
        for pattern in WORKING:
            for path in {directory_of(path) for path in self._find(pattern)}:
                with self._attempt(path):
                    if remove_if_abandoned(path, self._watch):
                        yield path
        self._watch.prune()

    def _temporary(self) -> Iterator[Path]:
        for pattern in TEMPORARY:
            yield from self._unlink_older(self._find(pattern), TEMPORARY_SECONDS)

    def _keys(self) -> Iterator[Path]:
        """Remove idempotency keys after `KEYS_DAYS`, and take their leases from dead holders."""
        for file in self._stores.keys.root.glob("*.lease"):
            with self._attempt(file):
                self._watch.held(file)
        yield from self._unlink_older(self._stores.keys.root.glob("*"), KEYS_DAYS * DAY)

    def _uploads(self) -> Iterator[Path]:
        """Remove uploaded archives whose worker was killed after it had read them."""
        datasets = self._stores.datasets
        for file in self._find(f"datasets/*/{UPLOAD_FILE}"):
            record = datasets.read(file.with_name(RECORD_FILE))
            if record is not None and _needs_no_upload(record):
                with self._attempt(file):
                    file.unlink(missing_ok=True)
                    yield file

    def _incomplete(self) -> Iterator[Path]:
        """Remove the directories of records that were never written."""
        stores = self._stores
        every: tuple[RecordStore[Any], ...] = (
            stores.datasets,
            stores.trainings,
            stores.comparisons,
        )
        for records in every:
            for directory in records.root.glob("*"):
                with self._attempt(directory):
                    incomplete = is_id(directory.name) and not (directory / RECORD_FILE).exists()
                    if incomplete and self._unchanged(directory) > TEMPORARY_SECONDS:
                        records.delete(directory.name)
                        yield directory

    def _shards(self) -> Iterator[Path]:
        trainings = self._stores.trainings
        for shards in self._find(f"trainings/*/{SHARDS}"):
            record = trainings.read(shards.with_name(RECORD_FILE))
            if record is not None and record.state.ended:
                with self._attempt(shards):
                    trainings.clear(record.id)
                    yield shards

    def _versions(self) -> Iterator[Path]:
        models, keep = self._stores.models, self._settings.keep_versions
        for name in models.names() if keep else []:
            superfluous: list[int] = []
            with self._attempt(models.root / name):
                superfluous = superfluous_versions(models, name, keep)
            for version in superfluous:
                directory = models.root / name / str(version)
                with self._attempt(directory):
                    models.remove(name, version)
                    yield directory

    def _comparisons(self) -> Iterator[Path]:
        """Remove old comparisons, each with its trainings that were not published."""
        for record, at in comparisons_due(self._stores, self._settings.keep_trainings_days):
            if self._clock() > at:
                directory = self._stores.comparisons.directory(record.id)
                with self._attempt(directory):
                    self._stores.remove_comparison(record)
                    yield directory

    def _trainings(self) -> Iterator[Path]:
        trainings = self._stores.trainings
        for record, at in trainings_due(self._stores, self._settings.keep_trainings_days):
            if self._clock() > at:
                directory = trainings.directory(record.id)
                with self._attempt(directory):
                    trainings.delete(record.id)
                    yield directory

    def _datasets(self) -> Iterator[Path]:
        datasets = self._stores.datasets
        for record, at in datasets_due(self._stores, self._settings.keep_datasets_days):
            if self._clock() > at:
                directory = datasets.directory(record.id)
                with self._attempt(directory):
                    if delete_unused(self._stores, record.id):
                        yield directory

    def _features(self) -> Iterator[Path]:
        """Remove features, unless a training waits or runs: it would fail without them."""
        settings = self._settings
        days, most = settings.keep_features_days, settings.keep_features_bytes
        if (days or most) and self._oldest_open() is None:
            yield from self._long_unused(FEATURES_FOLDER, days, most)

    def _activations(self) -> Iterator[Path]:
        """Remove activations that no training that waits or runs can have used.

        While one training that tunes follows another, they would else fill the disk.
        """
        settings = self._settings
        days, most = settings.keep_activations_days, settings.keep_activations_bytes
        oldest = self._oldest_open() if days or most else None
        before = math.inf if oldest is None else oldest - APART_SECONDS
        # If it has not been submitted yet, the clock was set back, and when they were used is
        # unknown.
        if (days or most) and (oldest is None or oldest <= self._clock()):
            yield from self._long_unused(ACTIVATIONS_FOLDER, days, most, before)

    def _oldest_open(self) -> float | None:
        """Return when the oldest training or comparison was submitted that waits or runs.

        None if there is none.

        Raises:
            RecordCorrupt, Unavailable: a record can't be read.
        """
        jobs = self._stores.open_jobs()
        return min((one.created_at.timestamp() for one in jobs), default=None)

    def _long_unused(
        self, kind: str, days: float, most: int, before: float = math.inf
    ) -> Iterator[Path]:
        """Remove the shards that were used longest ago.

        Args:
            kind: the directory of their spaces in the store.
            days: how long they are kept after their last use; 0: for ever.
            most: how many bytes of them are kept; 0: all.
            before: those that were used since then, in seconds since 1970, are kept.
        """
        shards: list[Shard] = []
        for index in self._find(f"{kind}/*/*.json"):
            with self._attempt(index), suppress(FileNotFoundError):  # it was removed meanwhile
                shards.append(Shard.of(index))
        for shard, at in shards_due(shards, days, most, self._ahead):
            if self._clock() <= at or shard.used_at + self._ahead >= before:
                continue
            data = shard.index.with_suffix(".npy")
            with self._attempt(data), suppress(FileNotFoundError):
                # A new training may have used them since.
                if Shard.of(shard.index).used_at == shard.used_at:
                    # The index first: features without an index count as absent.
                    for file in (shard.index, data):
                        remove_tree(file)  # whatever is in its place
                    yield data

    def _incomplete_features(self) -> Iterator[Path]:
        """Remove features that a killed process left without an index, which is written last."""
        kinds = (FEATURES_FOLDER, ACTIVATIONS_FOLDER)
        files = [file for kind in kinds for file in self._find(f"{kind}/*/*.npy")]
        incomplete = (file for file in files if not file.with_suffix(".json").exists())
        yield from self._unlink_older(incomplete, TEMPORARY_SECONDS)

    def _unlink_older(self, files: Iterable[Path], seconds: float) -> Iterator[Path]:
        for file in files:
            with self._attempt(file), suppress(FileNotFoundError):
                if file.is_file() and self._unchanged(file) > seconds:
                    file.unlink()
                    yield file

    def _find(self, pattern: str) -> list[Path]:
        """Return the paths in the store that match, skipping any that vanish meanwhile."""
        store = self._settings.store
        found = glob(pattern, root_dir=store, include_hidden=True)  # noqa: PTH207 - that one raises
        return [store / name for name in found]

    def _age(self, since: float) -> float:
        return self._clock() - since

    def _unchanged(self, path: Path) -> float:
        """Return for how many seconds a file or directory has not changed."""
        return self._age(path.stat().st_mtime + self._ahead)

    @contextmanager
    def _attempt(self, path: Path) -> Iterator[None]:
        """Log an error of the body, which keeps `path` from being removed, and go on."""
        try:
            yield
        except Exception:
            log.exception("not removed", path=str(path))


def seconds_ahead_of(store: Path) -> float:
    """Return by how much the clock of this host is ahead of the one that dates the store's files.

    A file server has a clock of its own. If that is slow, a file that is just being written looks
    as if it had been left behind long ago.
    """
    try:
        os.utime(store)
        return time.time() - store.stat().st_mtime
    except OSError:
        return 0.0  # nothing can be removed either


def _needs_no_upload(record: DatasetRecord) -> bool:
    """Return whether a dataset's archive will not be read again.

    After a transient failure it will be.
    """
    for_good = record.error is not None and not record.error.transient
    return record.state == DatasetState.READY or (record.state == DatasetState.FAILED and for_good)
