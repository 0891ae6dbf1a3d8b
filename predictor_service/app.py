"""Builds the predictor as an ASGI application."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry

from predictor_service.api.endpoints import router
from predictor_service.inference.explain import ExplainQueue
from predictor_service.inference.metrics import PredictorMetrics
from predictor_service.models.collector import ModelsCollector
from predictor_service.models.hot_reload import HotReload
from predictor_service.models.loading import VersionLoader
from predictor_service.models.on_demand import OnDemand
from predictor_service.models.served import Models
from predictor_service.settings import PredictorSettings
from shared import __version__
from shared.http.docs import add_docs
from shared.http.guard import add_guard
from shared.http.head import HeadLikeGet
from shared.http.metrics import HttpMetrics, add_metrics
from shared.http.pages import add_pages
from shared.http.problems import add_problem_handlers
from shared.http.query import refuse_unknown_parameters
from shared.http.requests import Requests
from shared.logs import get_logger
from shared.models.model_store import ModelStore

log = get_logger(__name__)

PAGES = Path(__file__).parent / "pages"

#: The paths whose routes receive uploads and read their bodies in pieces.
STREAMED = ("/v1/predict",)


def create_app(settings: PredictorSettings | None = None) -> FastAPI:
    """Return the predictor; it reads the store once it is started.

    Args:
        settings: the settings; None reads them from the environment.
    """
    app = FastAPI(
        title="Headstart predictor",
        summary="Classifies images with the models that the trainer publishes.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_unknown_parameters)],
        lifespan=_lifespan,
    )
    app.state.settings = settings or PredictorSettings()
    app.state.models = Models()
    registry = CollectorRegistry()
    registry.register(ModelsCollector(app.state.models))
    app.state.metrics = PredictorMetrics(registry)
    app.include_router(router)
    add_problem_handlers(app)
    add_docs(app)  # before the pages, which take all paths below /web
    add_pages(app, PAGES, asks=app.state.settings.trainer_origins)
    add_metrics(app, registry, blocking=False)
    app.add_middleware(HeadLikeGet)
    add_guard(
        app,
        app.state.settings,
        streamed=STREAMED,
        concurrent_uploads="max_requests",
        held_bytes=app.state.settings.held_bytes,
    )
    app.add_middleware(Requests, metrics=HttpMetrics(registry))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: PredictorSettings = app.state.settings
    pool = ThreadPoolExecutor(pool_size(settings.threads), thread_name_prefix="predict")
    large_pool = ThreadPoolExecutor(pool_size(settings.threads), thread_name_prefix="large")
    metrics: PredictorMetrics = app.state.metrics
    explained = ExplainQueue(settings.max_explained)
    loader = VersionLoader(settings, pool, metrics.batches, large_pool, explained)
    store = ModelStore(settings.store)
    models: Models = app.state.models
    reload = HotReload(
        store,
        models,
        loader,
        settings.poll_seconds,
        metrics.reload,
        watch_seconds=settings.watch_seconds,
    )
    versions = OnDemand(
        store.root,
        models,
        loader,
        most=settings.max_versions_on_demand,
        patience=settings.version_seconds,
        metrics=metrics.reload,
    )
    app.state.versions = versions
    tasks = [
        asyncio.create_task(reload.run(), name="hot reload"),
        asyncio.create_task(versions.run(settings.poll_seconds), name="versions on demand"),
    ]
    log.info("watching", store=str(store.root), seconds=settings.poll_seconds)
    try:
        yield
    finally:
        versions.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loader.close()
        explained.close()
        for threads in (pool, large_pool):
            threads.shutdown(wait=False, cancel_futures=True)


def pool_size(threads: int) -> int:
    """Return how many threads decode images: at least two, since one waits for the engine."""
    return max(2, threads or os.cpu_count() or 2)
