"""The trainer API as an ASGI application."""

from pathlib import Path

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry

from shared import __version__
from shared.http.docs import add_docs
from shared.http.guard import add_guard
from shared.http.head import HeadLikeGet
from shared.http.metrics import HttpMetrics, add_metrics
from shared.http.pages import add_pages
from shared.http.problems import add_problem_handlers
from shared.http.query import refuse_unknown_parameters
from shared.http.requests import Requests
from trainer_service.api.routes import (
    about,
    architectures,
    comparisons,
    datasets,
    events,
    health,
    models,
    reports,
    trainings,
    usage,
)
from trainer_service.api.routes.metrics import TrainerCollector
from trainer_service.api.threads import Threads
from trainer_service.queue.api_queue import ApiQueue
from trainer_service.queue.view import QueueView
from trainer_service.service.endings import Endings
from trainer_service.service.event_streams import EventStreams
from trainer_service.service.trainer import Trainer
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores
from trainer_service.store.work_metrics import WORK

PAGES = Path(__file__).parent / "pages"

#: The paths whose routes receive uploads and read their bodies in pieces.
STREAMED = ("/v1/trainings", "/v1/comparisons", "/v1/datasets", "/v1/datasets/{dataset_id}/images")


def create_app(settings: TrainerSettings) -> FastAPI:
    """Return the application, with all routes, pages, metrics and checks."""
    settings.store.mkdir(parents=True, exist_ok=True)
    app = FastAPI(
        title="Headstart trainer",
        description="Trains image classifiers on bottleneck features and publishes them.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_unknown_parameters)],
    )
    stores = Stores.open(settings)
    app.state.trainer = Trainer(
        settings,
        stores,
        ProgressBoard(stores.events),
        ApiQueue(settings),
        EventStreams(stores.events, settings.redis_url),
        Endings(stores.trainings),
        EventStreams(stores.comparison_events, settings.redis_url),
        Endings(stores.comparisons),
    )
    app.state.threads = Threads()
    app.state.view = QueueView(connect(settings.redis_url))
    add_problem_handlers(app, settings.store)
    for module in (
        trainings,
        reports,
        events,
        comparisons,
        datasets,
        models,
        architectures,
        about,
        usage,
        health,
    ):
        app.include_router(module.router)
    add_docs(app)  # before the pages, which take all paths below /web
    add_pages(app, PAGES, asks=settings.predictor_origins)
    registry = CollectorRegistry()
    registry.register(TrainerCollector(stores, app.state.view, app.state.trainer.streams))
    registry.register(WORK)
    add_metrics(app, registry, blocking=True)
    app.add_middleware(HeadLikeGet)
    add_guard(app, settings, streamed=STREAMED, concurrent_uploads="max_uploads")
    app.add_middleware(Requests, metrics=HttpMetrics(registry))
    return app
