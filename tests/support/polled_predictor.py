"""A hot reload over a store, without the rest of the predictor, which polls when a test says so."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from predictor_service.models.hot_reload import HotReload
from predictor_service.models.loading import VersionLoader
from predictor_service.models.served import Model, Models, ServedVersion
from predictor_service.settings import PredictorSettings
from trainer_service.store.publishing import WritableModelStore


class Predictor:
    """A hot reload over a store, polled by the test."""

    def __init__(self, settings: PredictorSettings, pool: ThreadPoolExecutor) -> None:
        self.store = WritableModelStore(settings.store)
        self.models = Models()
        self.loads: list[str] = []
        self.polls = 0
        self._loader = VersionLoader(settings, pool)
        self._reload = HotReload(
            self.store,
            self.models,
            self,
            settings.poll_seconds,
            watch_seconds=settings.watch_seconds,
        )

    async def load(self, directory: Path) -> ServedVersion:
        self.loads.append(f"{directory.parent.name}/{directory.name}")
        return await self._loader.load(directory)

    async def check(self, served: ServedVersion, directory: Path) -> None:
        await self._loader.check(served, directory)

    async def poll(self) -> None:
        await self._reload.poll()

    async def run(self) -> None:
        """Follow the store, and count how often it is looked at."""
        poll = self._reload.poll

        async def count() -> None:
            self.polls += 1
            await poll()

        self._reload.poll = count  # type: ignore[method-assign]
        await self._reload.run()

    def model(self, name: str = "colours") -> Model:
        return self.models.get(name)

    def reasons(self) -> dict[int, str]:
        return {q.version: q.reason for q in self.model().quarantined.values()}


def follow_store(
    settings: PredictorSettings, scenario: Callable[[Predictor], Awaitable[None]]
) -> None:
    """Run a scenario with a predictor over the store of the settings, in an event loop."""

    async def main() -> None:
        await asyncio.wait_for(scenario(Predictor(settings, pool)), 60)

    with ThreadPoolExecutor(2) as pool:
        asyncio.run(main())
