"""Loads published versions as the predictor does."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from predictor_service.models.loading import VersionLoader
from predictor_service.models.served import ServedVersion
from predictor_service.settings import PredictorSettings

Result = TypeVar("Result")


async def _itself(version: ServedVersion) -> ServedVersion:
    return version


def loaded(directory: Path, store: Path, **settings: Any) -> ServedVersion:
    """Load a version, which checks its files and golden images, and return it.

    Args:
        directory: the directory of the version.
        store: the store that it is in.
        settings: other settings of the predictor; by default there is one image in a batch.
    """
    return with_loaded(_itself, directory, store, **{"max_batch": 1} | settings)


def with_loaded(
    use: Callable[[ServedVersion], Coroutine[Any, Any, Result]],
    directory: Path,
    store: Path,
    **settings: Any,
) -> Result:
    """Load a version, as `loaded`, and return what `use` makes of it while its threads run."""

    async def load() -> Result:
        with ThreadPoolExecutor(2) as pool:
            loader = VersionLoader(PredictorSettings(store=store, **settings), pool)
            return await use(await loader.load(directory))

    return asyncio.run(load())
