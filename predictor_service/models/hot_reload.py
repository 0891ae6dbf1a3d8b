"""Watches the model store and serves new versions as they are published."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from predictor_service.api.answers import Quarantine
from predictor_service.inference.metrics import ReloadMetrics
from predictor_service.inference.shadow import Shadow
from predictor_service.models.fingerprint import (
    Fingerprint,
    fingerprint,
    glance,
    manifest_fingerprint,
    only,
)
from predictor_service.models.refusal import Refusal, describe, kind_of, shortened
from predictor_service.models.served import Model, Models, ServedVersion
from predictor_service.models.watch import found_wrong
from shared.errors import HeadstartError, ModelNotFound
from shared.logs import bound, get_logger
from shared.models.manifest import MANIFEST_FILE
from shared.models.model_store import ModelSnapshot, ModelStore
from shared.models.promotions import by_preference

log = get_logger(__name__)

#: Seconds between two glances at the store, which are at least so many times as long as a glance.
GLANCE_SECONDS = 0.1
GLANCE_PAUSES = 20


class StoreVanished(HeadstartError):
    """The store existed before and does not any more; most likely it was unmounted."""


class Loader(Protocol):
    """Loads versions, as `VersionLoader` does."""

    async def load(self, directory: Path) -> ServedVersion: ...

    async def check(self, served: ServedVersion, directory: Path) -> None: ...


@dataclass(slots=True)
class _Known:
    """How a model's files looked when they were last loaded.

    Attributes:
        manifest: fingerprint of the manifest of the served version.
        refusals: by the number of each version in quarantine.
    """

    manifest: Fingerprint = frozenset()
    refusals: dict[int, Refusal] = field(default_factory=dict)


class HotReload:
    """Looks at the store regularly, and loads the versions that should be served.

    Args:
        store: the model store.
        models: the models to keep up to date.
        loader: loads a version.
        poll_seconds: seconds between two polls, unless a glance shows that the store has changed.
        metrics: counts loads and refusals.
        watch_seconds: how long a version is watched after it was loaded; 0: not at all.
    """

    def __init__(  # noqa: PLR0913 - two have a default
        self,
        store: ModelStore,
        models: Models,
        loader: Loader,
        poll_seconds: float,
        metrics: ReloadMetrics | None = None,
        *,
        watch_seconds: float = 0.0,
    ) -> None:
        self._store = store
        self._models = models
        self._loader = loader
        self._poll_seconds = poll_seconds
        self._metrics = metrics or ReloadMetrics()
        self._watch_seconds = watch_seconds
        self._known: dict[str, _Known] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Poll until cancelled; if a poll fails, log it and go on."""
        try:
            while True:
                await self._poll_and_pause()
        finally:
            for watch in self._watches:
                watch.cancel()

    async def _poll_and_pause(self) -> None:
        self._hurry.clear()
        before = await asyncio.to_thread(glance, self._store.root)
        try:
            await self.poll()
            self._models.fault = None
        except Exception as error:  # noqa: BLE001 - the loop goes on after any error
            self._log_fault(error)
        await self._pause(before)

    async def _pause(self, before: Fingerprint) -> None:
        """Wait until the next poll: for its time, or until the store looks otherwise than before.

        On a slow file system it is looked at less often, so that this never takes much time.
        """
        end, pause = time.monotonic() + self._poll_seconds, GLANCE_SECONDS
        while (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(left, pause))
                return
            started = time.monotonic()
            if await asyncio.to_thread(glance, self._store.root) != before:
                return
            pause = max(GLANCE_SECONDS, GLANCE_PAUSES * (time.monotonic() - started))

    async def poll(self) -> None:
        """Poll the store once, and load the versions that should be served.

        Raises:
            StoreVanished, OSError: the store can't be read; served versions stay as they are.
        """
        store_is_expected = bool(self._models.all())
        snapshots = await asyncio.to_thread(self._snapshots, store_is_expected=store_is_expected)
        names = {snapshot.name for snapshot in snapshots}
        former = {snapshot.name: _former_names(snapshot) - names for snapshot in snapshots}
        kept = names.union(*former.values())
        self._drop_all_but(kept)
        for snapshot in snapshots:
            _apply(snapshot, self._models.ensure(snapshot.name))
        for snapshot in snapshots:
            await self._update(self._models.get(snapshot.name), snapshot)
            # A renamed model answers under its old name until it does so under the new one.
            kept -= former[snapshot.name]
            self._drop_all_but(kept)
        self._models.scanned = True

    def _snapshots(self, *, store_is_expected: bool) -> list[ModelSnapshot]:
        snapshots = []
        for name in self._store.names():
            with suppress(ModelNotFound):  # it has been removed meanwhile
                snapshots.append(self._store.snapshot(name))
        # Checked last, since the store may vanish meanwhile.
        if store_is_expected and not self._store.root.is_dir():
            raise StoreVanished(f"The model store is gone: {self._store.root}.")
        return snapshots

    def _drop_all_but(self, names: set[str]) -> None:
        for model in self._models.keep_only(names):
            self._known.pop(model.name, None)
            log.info("unloaded, the model is no longer in the store", model=model.name)

    async def _update(self, model: Model, snapshot: ModelSnapshot) -> None:
        """Load the version that should be served; an error does not affect other models.

        If it is not known which version should be served, the served one stays.
        """
        fault = snapshot.fault
        stays = not snapshot.settled and model.version in model.versions
        if snapshot.versions is not None and not stays:
            try:
                await self._load_best(model)
                await self._load_shadow(model)
            except Exception as error:  # noqa: BLE001 - reported in the model's notice
                fault = describe(error)
        _set_notice(model, fault)

    async def _load_best(self, model: Model) -> None:
        await self._reconsider(model)
        if model.failing is not None:
            await self._leave(model, model.failing)
        replaced = await self._is_replaced(model)
        for version in wanted(model, served_is_replaced=replaced):
            with bound(model=model.name, version=version):
                if await self._load(model, version):
                    break

    async def _load_shadow(self, model: Model) -> None:
        """Load the newest version to answer beside the pinned one, if that is asked for."""
        others = [v for v in model.versions if v != model.pinned and v not in model.quarantined]
        wanted = max(others) if others and _may_be_shadowed(model) else None
        current = model.shadow.version.manifest.version if model.shadow else None
        if wanted == current:
            return
        model.shadow = None
        if wanted is None:
            return
        directory = self._directory(model, wanted)
        before = await asyncio.to_thread(fingerprint, directory)
        with bound(model=model.name, version=wanted):
            try:
                model.shadow = Shadow(await self._loader.load(directory))
                log.info("answers beside the pinned version")
            except Exception as error:  # noqa: BLE001 - after any error the version is not used
                await self._refuse(model, wanted, before, error)

    async def _reconsider(self, model: Model) -> None:
        """Release versions from quarantine that are gone, have changed, or should be retried."""
        refusals = self._known_of(model).refusals
        for version, refusal in list(refusals.items()):
            now = await asyncio.to_thread(fingerprint, self._directory(model, version))
            gone = version not in model.versions
            if gone or not refusal.stands(now):
                del refusals[version], model.quarantined[version]

    def _known_of(self, model: Model) -> _Known:
        return self._known.setdefault(model.name, _Known())

    async def _is_replaced(self, model: Model) -> bool:
        """Return whether the directory of the served version has another manifest now."""
        if model.version not in model.versions:
            return False
        directory = self._directory(model, model.version)
        now = await asyncio.to_thread(manifest_fingerprint, directory)
        return now != self._known_of(model).manifest

    async def _load(self, model: Model, version: int) -> bool:
        directory = self._directory(model, version)
        before = await asyncio.to_thread(fingerprint, directory)
        model.loading = version
        started = time.monotonic()
        try:
            served = await self._loader.load(directory)
        except Exception as error:  # noqa: BLE001 - after any error the version is not served
            await self._refuse(model, version, before, error)
            return False
        finally:
            model.loading = None
        model.served, model.failing = served, None
        self._known_of(model).manifest = only(before, MANIFEST_FILE)
        self._watch(model, served, directory)
        seconds = time.monotonic() - started
        self._metrics.swaps.labels(model.name).inc()
        self._metrics.load.observe(seconds)
        log.info("loaded", seconds=round(seconds, 3))
        return True

    def _watch(self, model: Model, served: ServedVersion, directory: Path) -> None:
        """Watch a version that was just loaded, beside everything else."""
        if not self._watch_seconds:
            return

        async def watch() -> None:
            def is_served() -> bool:
                return model.served is served

            check = partial(self._loader.check, served, directory)
            wrong = await found_wrong(served.trial, check, is_served, self._watch_seconds)
            if wrong is not None and is_served():
                model.failing = wrong
                self._hurry.set()

        task = asyncio.create_task(watch(), name=f"watch {model.name}")
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def _leave(self, model: Model, reason: str) -> None:
        """Return to another version, as the served one fails; it stays if no other can be loaded.

        The one that is left is refused until its files change.
        """
        served, version = model.served, model.version
        if served is None or version is None or version in model.quarantined:
            return
        after = (datetime.now(UTC) - served.loaded_at).total_seconds()
        before = await asyncio.to_thread(fingerprint, self._directory(model, version))
        for other in by_preference(model.versions, model.pinned, model.decisions):
            if other == version or other in model.quarantined:
                continue
            with bound(model=model.name, version=other):
                if not await self._load(model, other):
                    continue
            why = f"{after:.0f} s after it was loaded: {reason}"
            said = f"It was left {why}. Version {other} is served instead."
            model.left = (version, f"Version {version} was left {why}.")
            self._quarantine(model, version, Refusal(before, shortened(said)))
            self._metrics.quarantines.labels("watched").inc()
            self._metrics.returns.labels(model.name).inc()
            log.error("left", model=model.name, version=version, reason=said)
            return

    async def _refuse(
        self, model: Model, version: int, before: Fingerprint, error: Exception
    ) -> None:
        directory = self._directory(model, version)
        if await asyncio.to_thread(fingerprint, directory) != before:
            log.warning("the version changed while it was loaded")
            return
        refusal = Refusal.of(error, before)
        self._quarantine(model, version, refusal)
        self._metrics.quarantines.labels(kind_of(error)).inc()
        log.error("quarantined", reason=refusal.reason)

    def _quarantine(self, model: Model, version: int, refusal: Refusal) -> None:
        self._known_of(model).refusals[version] = refusal
        model.quarantined[version] = Quarantine(
            version=version, reason=refusal.reason, at=datetime.now(UTC)
        )

    def _directory(self, model: Model, version: int) -> Path:
        return self._store.root / model.name / str(version)

    def _log_fault(self, error: Exception) -> None:
        """Log why a poll failed; once, not at every poll that fails for the same reason."""
        fault = describe(error)
        if fault != self._models.fault:
            log.error("can't read the model store, trying again", reason=fault)
        self._models.fault = fault


def wanted(model: Model, *, served_is_replaced: bool = False) -> list[int]:
    """Return the versions to try to load, best first; none if the served one should stay.

    These are the pinned version, or else those that are preferred to the served one and not in
    quarantine. The served version stays until a better one is loaded. Only if a model is not
    pinned, and its served version was deleted or is not to be served any more, any other is loaded.

    Args:
        model: the model, as the last poll found it.
        served_is_replaced: whether the directory of the served version has another manifest now.
    """
    order = by_preference(model.versions, model.pinned, model.decisions)
    usable = [version for version in order if version not in model.quarantined]
    served = model.version
    if served is None:
        return usable
    if model.pinned is not None:
        pinned = [version for version in usable if version == model.pinned]
        return pinned if served != model.pinned or served_is_replaced else []
    if served not in order:
        return usable
    better = order[: order.index(served) + served_is_replaced]
    return [version for version in usable if version in better]


def _may_be_shadowed(model: Model) -> bool:
    """Return whether another version is to answer beside the served one, which is pinned."""
    return model.shadowed and model.pinned is not None and model.version == model.pinned


def _former_names(snapshot: ModelSnapshot) -> set[str]:
    return set(snapshot.annotations.formerly) if snapshot.annotations else set()


def _apply(snapshot: ModelSnapshot, model: Model) -> None:
    """Copy a snapshot to its model; what could not be read stays as it was."""
    model.annotations = snapshot.annotations or model.annotations
    model.annotations_fault = snapshot.annotations_fault
    if snapshot.versions is None:
        return
    model.versions = snapshot.versions
    if snapshot.pin_known:
        model.pinned, model.shadowed = snapshot.pinned, snapshot.shadow
    if snapshot.decisions_known:
        model.decisions = snapshot.decisions


def _set_notice(model: Model, fault: str | None) -> None:
    """Set the model's notice; log its fault when that has changed."""
    if fault is not None and fault != model.fault:
        log.error(
            "can't read all of a model, the served version stays", model=model.name, reason=fault
        )
    elif fault is None and model.fault is not None:
        log.info("can read all of a model again", model=model.name)
    model.fault = fault
    faults = [fault, model.annotations_fault, _notice(model), _failure(model)]
    model.notice = " ".join(filter(None, faults)) or None


def _notice(model: Model) -> str | None:
    if model.pinned is None or (model.pinned == model.version and model.pinned in model.versions):
        return None
    fault = "could not be loaded" if model.pinned in model.versions else "is not in the store"
    instead = "nothing" if model.version is None else f"version {model.version}"
    return f"Version {model.pinned} is pinned but {fault}; {instead} is served."


def _failure(model: Model) -> str | None:
    """Return which version was watched failing, and what became of that."""
    if model.failing is not None:
        return shortened(
            f"Version {model.version} fails: {model.failing}. There is no other version to return "
            "to, so it is served on."
        )
    if model.left is not None and model.left[0] in model.quarantined:
        return shortened(model.left[1])
    return None
