"""Measures what lies in the store in bytes, and what retention will remove next."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from shared.errors import HeadstartError
from shared.models.model_store import VERSION
from trainer_service.settings import TrainerSettings
from trainer_service.store.due import (
    DAY,
    Shard,
    datasets_due,
    shards_due,
    superfluous_versions,
    trainings_due,
)
from trainer_service.store.stores import (
    ACTIVATIONS_FOLDER,
    BACKBONES,
    FEATURES_FOLDER,
    UPLOADS,
    Stores,
)

#: How long an answer counts, and how long measuring may take.
FRESH_SECONDS = 30.0
MOST_SECONDS = 10.0

#: What a file of a dataset is, by its name or that of its folder; the others are its lists.
_OF_A_DATASET = {"images": "images", "thumbnails": "thumbnails", "upload": "uploads"}
_LISTS = "lists of datasets"
#: What is in a folder of the store.
_OF_THE_STORE = {
    FEATURES_FOLDER: "features",
    ACTIVATIONS_FOLDER: "activations",
    BACKBONES: "backbones",
    "models": "versions",
    "trainings": "trainings",
    "comparisons": "comparisons",
    UPLOADS: "uploads",
}
_OTHER = "other"
KINDS = (*_OF_A_DATASET.values(), _LISTS, *_OF_THE_STORE.values(), _OTHER)

_WHILE_OPEN = "Kept while a training waits or runs."


class KindUsage(BaseModel):
    """What all files of a kind take together."""

    kind: str
    bytes: int
    files: int


class VersionUsage(BaseModel):
    """What a version takes."""

    version: int
    bytes: int


class ModelUsage(BaseModel):
    """What the versions of a model take, the newest first."""

    name: str
    bytes: int
    versions: list[VersionUsage]


class Removal(BaseModel):
    """What retention removes next of a kind."""

    kind: str
    count: int = Field(description="How many are due until a day after `at`.")
    bytes: int = Field(description="What these take.")
    at: datetime = Field(description="When the first of them is due; workers look at intervals.")
    setting: str = Field(description="The setting that decides it.")
    held: str | None = Field(description="Why it is kept longer than that, if it is.")


class Usage(BaseModel):
    """What lies in the store."""

    bytes: int
    free_bytes: int = Field(description="What is free on the disk of the store.")
    disk_bytes: int = Field(description="The size of that disk.")
    kinds: list[KindUsage]
    models: list[ModelUsage]
    removals: list[Removal] = Field(description="What retention removes next, by kind.")
    complete: bool = Field(
        description="Whether all was measured in time and could be read; else it is more."
    )
    measured_at: datetime
    seconds: float = Field(description="How long measuring took.")


class UsageMeter:
    """Measures a store, and keeps the answer for a while. One thread at a time may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usage: Usage | None = None
        self._until = 0.0

    def __call__(self, settings: TrainerSettings, stores: Stores) -> Usage:
        """Return what lies in the store.

        Raises:
            OSError: the store can't be read at all.
        """
        if self._usage is None or self._clock() >= self._until:
            self._usage = _Measuring(settings, stores, self._clock).usage()
            self._until = self._clock() + FRESH_SECONDS
        return self._usage


@dataclass(slots=True)
class _Measuring:
    """A walk through a store.

    Attributes:
        sizes, counts: the bytes and the number of files of each kind.
        folders: the bytes below each folder of two names, such as `datasets/<id>`.
        versions: the bytes of each version, by model and number.
        complete: whether everything could be read in time.
    """

    settings: TrainerSettings
    stores: Stores
    clock: Callable[[], float]
    deadline: float = field(init=False)
    sizes: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    versions: Counter[tuple[str, int]] = field(default_factory=Counter)
    complete: bool = True

    def usage(self) -> Usage:
        """Measure, and return the result."""
        started = self.clock()
        self.deadline = started + MOST_SECONDS
        self._walk()
        removals = [removal for removal in self._removals() if removal is not None]
        disk = shutil.disk_usage(self.settings.store)
        return Usage(
            bytes=self.sizes.total(),
            free_bytes=disk.free,
            disk_bytes=disk.total,
            kinds=[
                KindUsage(kind=kind, bytes=self.sizes[kind], files=self.counts[kind])
                for kind in dict.fromkeys(KINDS)
            ],
            models=self._models(),
            removals=removals,
            complete=self.complete,
            measured_at=datetime.now(UTC),
            seconds=round(self.clock() - started, 3),
        )

    def _walk(self) -> None:
        for parts, size in self._files():
            kind = _kind_of(parts)
            self.sizes[kind] += size
            self.counts[kind] += 1
            self.folders["/".join(parts[:2])] += size
            if parts[0] == "models" and len(parts) > 3 and VERSION.fullmatch(parts[2]):  # noqa: PLR2004 - models, its name, the version, a file
                self.versions[parts[1], int(parts[2])] += size

    def _files(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """Yield the path of each file, relative to the store, and its size; follow no links.

        A file with several names is counted under one of them, in `models` before `comparisons`.
        """
        root, linked = self.settings.store, set[tuple[int, int]]()
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            if self.clock() > self.deadline:
                self.complete = False
                return
            folder = waiting.pop()
            try:
                with os.scandir(root.joinpath(*folder)) as entries:
                    # The last one is walked through first.
                    for entry in entries if folder else sorted(entries, key=lambda one: one.name):
                        path = (*folder, entry.name)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(path)
                            continue
                        with suppress(FileNotFoundError):  # it was removed meanwhile
                            status = entry.stat(follow_symlinks=False)
                            if not _is_counted(status, linked):
                                yield path, status.st_size
            except FileNotFoundError:
                continue
            except OSError:
                if not folder:
                    raise
                self.complete = False

    def _models(self) -> list[ModelUsage]:
        found: dict[str, list[VersionUsage]] = {}
        for (name, version), size in sorted(self.versions.items(), reverse=True):
            found.setdefault(name, []).append(VersionUsage(version=version, bytes=size))
        return [
            ModelUsage(name=name, bytes=sum(one.bytes for one in found[name]), versions=found[name])
            for name in sorted(found)
        ]

    def _removals(self) -> Iterator[Removal | None]:
        settings = self.settings
        try:
            held = _WHILE_OPEN if self.stores.open_jobs() else None
            datasets = list(datasets_due(self.stores, settings.keep_datasets_days))
        except HeadstartError as error:
            self.complete, held, datasets = False, error.detail, []
        limits = (
            (FEATURES_FOLDER, settings.keep_features_days, settings.keep_features_bytes),
            (ACTIVATIONS_FOLDER, settings.keep_activations_days, settings.keep_activations_bytes),
        )
        for folder, days, most in limits:
            due = ((at, one.size) for one, at in shards_due(self._shards(folder), days, most))
            setting = f"HEADSTART_KEEP_{folder.upper()}_DAYS and _BYTES"
            yield _next(_OF_THE_STORE[folder], due, setting, held)
        due = ((-1.0, size) for size in self._superfluous())
        yield _next("versions", due, "HEADSTART_KEEP_VERSIONS")
        trainings = trainings_due(self.stores, settings.keep_trainings_days)
        due = ((at, self.folders[f"trainings/{one.id}"]) for one, at in trainings)
        yield _next("trainings", due, "HEADSTART_KEEP_TRAININGS_DAYS")
        due = ((at, self.folders[f"datasets/{one.id}"]) for one, at in datasets)
        yield _next("datasets", due, "HEADSTART_KEEP_DATASETS_DAYS", held=None)

    def _shards(self, folder: str) -> Iterator[Shard]:
        for index in (self.settings.store / folder).glob("*/*.json"):
            with suppress(OSError):
                yield Shard.of(index)

    def _superfluous(self) -> Iterator[int]:
        """Yield the bytes of each version that is superfluous; that takes long if many are."""
        models, keep = self.stores.models, self.settings.keep_versions
        for name in models.names() if keep else []:
            if self.clock() > self.deadline:
                self.complete = False
                return
            try:
                superfluous = superfluous_versions(models, name, keep)
            except (HeadstartError, OSError):
                self.complete = False
                continue
            yield from (self.versions[name, version] for version in superfluous)


def _is_counted(status: os.stat_result, linked: set[tuple[int, int]]) -> bool:
    """Return whether a file has been met under another name; `linked` remembers those that may."""
    if status.st_nlink == 1:
        return False
    file = (status.st_dev, status.st_ino)
    met = file in linked
    linked.add(file)
    return met


def _kind_of(parts: tuple[str, ...]) -> str:
    if parts[0] == "datasets" and len(parts) > 2:  # noqa: PLR2004 - datasets, an id, a file
        return _OF_A_DATASET.get(parts[2], _LISTS)
    return _OF_THE_STORE.get(parts[0], _OTHER) if len(parts) > 1 else _OTHER


def _next(
    kind: str, due: Iterable[tuple[float, int]], setting: str, held: str | None = None
) -> Removal | None:
    """Return what is due first of a kind, and all that is due until a day after it.

    Args:
        kind: the kind.
        due: when each is due, in seconds since 1970, and how many bytes it takes.
        setting: the setting that decides it.
        held: why it is kept longer, if it is.
    """
    listed = list(due)
    if not listed:
        return None
    first = max(time.time(), min(at for at, _ in listed))
    sizes = [size for at, size in listed if at <= first + DAY]
    return Removal(
        kind=kind,
        count=len(sizes),
        bytes=sum(sizes),
        at=datetime.fromtimestamp(first, UTC),
        setting=setting,
        held=held,
    )
