"""Finds the version that a request asks for, and loads it if it is not the served one."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from predictor_service.api.query import Wanted
from predictor_service.inference.metrics import ReloadMetrics
from predictor_service.models.fingerprint import (
    Fingerprint,
    fingerprint,
    manifest_fingerprint,
    only,
)
from predictor_service.models.hot_reload import Loader
from predictor_service.models.refusal import Refusal, kind_of
from predictor_service.models.served import Model, Models, ServedVersion
from shared.errors import AliasNotFound, Conflict, HeadstartError, Unavailable, VersionNotFound
from shared.logs import bound, get_logger
from shared.models.annotations import VersionAnnotation
from shared.models.manifest import MANIFEST_FILE

log = get_logger(__name__)

#: How often to look whether the version that is about to be served, and is asked for, is loaded.
LOOK_SECONDS = 0.05

#: The name of a model, and the number of a version.
_Key = tuple[str, int]


class InUse(NamedTuple):
    """The version that answers a request, and what is said of it."""

    served: ServedVersion
    said: VersionAnnotation


@dataclass(slots=True, eq=False)
class _Loaded:
    """A version that was loaded on demand.

    Attributes:
        served: the version.
        manifest: the fingerprint of its manifest when it was loaded.
        users: how many requests it answers now.
    """

    served: ServedVersion
    manifest: Fingerprint
    users: int = 0


@dataclass(slots=True)
class _Memory:
    """The versions in memory.

    Attributes:
        loaded: those that requests may use, the one that was used longest ago first.
        leaving: those that are not used by new requests, but still by some.
        refused: those that could not be loaded.
    """

    loaded: dict[_Key, _Loaded] = field(default_factory=dict)
    leaving: set[_Loaded] = field(default_factory=set)
    refused: dict[_Key, Refusal] = field(default_factory=dict)

    def drop(self, key: _Key) -> None:
        """Let no further request use a version; the last one that does frees its memory."""
        version = self.loaded.pop(key)
        if version.users:
            self.leaving.add(version)

    def make_room(self, most: int) -> bool:
        """Return whether another version may be loaded; drop one that no request uses for it."""
        while len(self.loaded) + len(self.leaving) >= most:
            idle = next((key for key, one in self.loaded.items() if not one.users), None)
            if idle is None:
                return False
            self.drop(idle)
        return True


class OnDemand:
    """The versions that requests ask for. Only the thread of the event loop may use it.

    Besides the served versions, up to `most` are in memory, those that were used last. One is
    loaded at a time, by the same loader and with the same checks as those that are served. A
    version stays in memory as long as it answers a request, and counts as long as it is there.

    Args:
        root: the `models/` directory of the store.
        models: the models, as the last poll of the store found them.
        loader: loads a version.
        most: how many versions may be in memory, besides the served ones.
        patience: seconds that a request waits for its version.
        metrics: counts loads and refusals.
    """

    def __init__(  # noqa: PLR0913 - where versions are, who loads them, and two limits
        self,
        root: Path,
        models: Models,
        loader: Loader,
        *,
        most: int,
        patience: float,
        metrics: ReloadMetrics | None = None,
    ) -> None:
        self._root = root
        self._models = models
        self._loader = loader
        self._most = most
        self._patience = patience
        self._metrics = metrics or ReloadMetrics()
        self._memory = _Memory()
        self._loading: _Key | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def run(self, seconds: float) -> None:
        """Give back, every `seconds`, what is served by now or is gone from the store."""
        while True:
            await asyncio.sleep(seconds)
            self.tidy()

    def tidy(self) -> None:
        """Give back the versions that are served by now or are gone from the store."""
        models = {model.name: model for model in self._models.all()}
        for key in list(self._memory.loaded):
            model = models.get(key[0])
            if model is None or key[1] == model.version or key[1] not in model.versions:
                self._memory.drop(key)
                self._notify()
        for key in list(self._memory.refused):
            if key[0] not in models or key[1] not in models[key[0]].versions:
                del self._memory.refused[key]

    def close(self) -> None:
        """End a load that is under way."""
        if self._load_task is not None:
            self._load_task.cancel()

    def of(self, name: str) -> list[ServedVersion]:
        """Return the versions of a model that were loaded on demand, by their numbers."""
        loaded = sorted(self._memory.loaded.items())
        return [one.served for (model, _), one in loaded if model == name]

    async def at_hand(self, wanted: Wanted) -> ServedVersion | None:
        """Return the version that a request asks for; None if it has yet to be loaded.

        So a request that can't be answered is refused before its images are received.

        Raises:
            ModelNotFound, VersionNotFound, AliasNotFound: there is none.
            InvalidRequest: no model is named, and several are served.
            Unavailable: no version of the model is served yet, or the version can't be loaded now.
            Conflict: the version was refused, or the settings allow none but the served one.
        """
        model, version = self._find(wanted)
        if version is None:
            return model.require_served()
        key = (model.name, version)
        async with self._in_time(key):
            await self._reconsider(key)
        loaded = self._memory.loaded.get(key)
        if loaded is None:
            self._require_loadable(model, version)
        return None if loaded is None else loaded.served

    @asynccontextmanager
    async def use(self, wanted: Wanted) -> AsyncIterator[InUse]:
        """Yield the version that a request asks for, which stays in memory in the body.

        Raises:
            Unavailable: it could not be loaded in time.
            ModelNotFound, VersionNotFound, AliasNotFound, InvalidRequest, Conflict: as `at_hand`.
        """
        model, version = self._find(wanted)
        if version is None:
            served = model.require_served()
            yield InUse(served, model.annotations.of(served.manifest.version))
            return
        loaded = await self._enter(model, version)
        try:
            yield InUse(loaded.served, model.annotations.of(version))
        finally:
            loaded.users -= 1
            if not loaded.users:
                self._memory.leaving.discard(loaded)
                self._notify()

    def _find(self, wanted: Wanted) -> tuple[Model, int | None]:
        """Return the model and the version of a request; None means the served one."""
        model = self._models.choose(wanted.model)
        version = wanted.version
        if isinstance(version, str):
            aliases = model.annotations.aliases()
            if version not in aliases:
                raise AliasNotFound(model.name, version, sorted(aliases))
            version = aliases[version]
        if version is None or version == model.version:
            return model, None
        if version not in model.versions:
            raise VersionNotFound(model.name, version, model.versions)
        return model, version

    async def _enter(self, model: Model, version: int) -> _Loaded:
        """Return a version with one user more, and load it before if it is not in memory."""
        key = (model.name, version)
        async with self._in_time(key):
            await self._reconsider(key)
            return await self._loaded(model, key)

    @asynccontextmanager
    async def _in_time(self, key: _Key) -> AsyncIterator[None]:
        """Raise Unavailable if the body takes longer than a request waits for its version."""
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError:
            raise Unavailable(self._why_not_loaded(key), retry_after=2) from None

    async def _reconsider(self, key: _Key) -> None:
        """Forget a version, or its refusal, if its files have changed."""
        directory = self._directory(key)
        if (loaded := self._memory.loaded.get(key)) is not None:
            now = await asyncio.to_thread(manifest_fingerprint, directory)
            if now != loaded.manifest and self._memory.loaded.get(key) is loaded:
                self._memory.drop(key)
        if (refusal := self._memory.refused.get(key)) is not None:
            now = await asyncio.to_thread(fingerprint, directory)
            if not refusal.stands(now):
                self._memory.refused.pop(key, None)

    async def _loaded(self, model: Model, key: _Key) -> _Loaded:
        while True:
            changed = self._changed
            if (loaded := self._memory.loaded.pop(key, None)) is not None:
                self._memory.loaded[key] = loaded  # the last one, as it is used now
                loaded.users += 1
                return loaded
            self._require_loadable(model, key[1])
            if model.loading == key[1]:
                await asyncio.sleep(LOOK_SECONDS)  # `HotReload` does not tell when it has it
                continue
            if self._loading is None and self._memory.make_room(self._most):
                self._loading = key
                self._load_task = asyncio.create_task(self._load(key), name="load on demand")
            await changed.wait()

    def _require_loadable(self, model: Model, version: int) -> None:
        """Raise the reason why a version is not loaded, if there is one."""
        if not self._most:
            raise Conflict(
                f"HEADSTART_MAX_VERSIONS_ON_DEMAND is 0, so only the served version of model "
                f"{model.name!r} answers: {model.version}. Asked for: {version}."
            )
        if version in model.quarantined:
            raise _refused(model.name, version, model.quarantined[version].reason)
        if (refusal := self._memory.refused.get((model.name, version))) is not None:
            raise _refused_for(refusal, model.name, version)

    async def _load(self, key: _Key) -> None:
        """Load a version, or note why that is impossible. Requests may leave meanwhile."""
        directory = self._directory(key)
        started = time.monotonic()
        with bound(model=key[0], version=key[1]):
            before: Fingerprint = frozenset()
            try:
                before = await asyncio.to_thread(fingerprint, directory)
                served = await self._loader.load(directory)
            except Exception as error:  # noqa: BLE001 - after any error the version is not used
                self._refuse(key, before, error)
            else:
                self._memory.loaded[key] = _Loaded(served, only(before, MANIFEST_FILE))
                self._metrics.on_demand.labels(key[0]).inc()
                log.info("loaded on demand", seconds=round(time.monotonic() - started, 3))
            finally:
                self._loading = None
                self._notify()

    def _refuse(self, key: _Key, before: Fingerprint, error: Exception) -> None:
        refusal = Refusal.of(error, before)
        log.error("not loaded on demand", reason=refusal.reason)
        self._metrics.quarantines.labels(kind_of(error)).inc()
        self._memory.refused[key] = refusal

    def _why_not_loaded(self, key: _Key) -> str:
        name, version = key
        if self._loading == key:
            return f"Version {version} of model {name!r} is still being loaded: try again."
        return (
            f"HEADSTART_MAX_VERSIONS_ON_DEMAND allows {self._most} versions in memory besides the "
            f"served ones, and all are in use or being loaded, so version {version} of model "
            f"{name!r} has to wait: try again."
        )

    def _notify(self) -> None:
        """Wake the requests that wait, in the order in which they began to."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _directory(self, key: _Key) -> Path:
        return self._root / key[0] / str(key[1])


def _refused_for(refusal: Refusal, name: str, version: int) -> HeadstartError:
    """Return what to answer a request for a version that could not be loaded."""
    if math.isinf(refusal.retry_at):
        return _refused(name, version, refusal.reason)
    return Unavailable(
        f"Version {version} of model {name!r} can't be loaded now: {refusal.reason}",
        retry_after=max(1, math.ceil(refusal.retry_at - time.monotonic())),
    )


def _refused(name: str, version: int, reason: str) -> Conflict:
    return Conflict(f"Version {version} of model {name!r} is refused: {reason}")
