"""Celery tasks: doorways to the plain functions of `training` and `datasets`."""

import logging
import threading
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from shared.errors import HeadstartError
from trainer_service import reading, training
from trainer_service.celery_app import create_celery
from trainer_service.progress import ProgressBoard, Ticker, connect
from trainer_service.queue import TaskQueue
from trainer_service.settings import TrainerSettings
from trainer_service.stores import Stores
from trainer_service.worker_context import Worker

log = logging.getLogger(__name__)

settings = TrainerSettings()
app: Celery = create_celery(settings)


@cache
def worker() -> Worker:
    """Return this process's context; each process of the pool makes its own connections."""
    board = ProgressBoard(connect(settings.redis_url))
    return Worker(settings, Stores.open(settings), board, TaskQueue(app))


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery is untyped
def preload(**_: Any) -> None:
    """Import what every training needs, once per process and beside its first task."""
    import numpy as np

    log.info("loading Keras beside the first task (NumPy %s)", np.__version__)
    threading.Thread(target=_import_keras, name="preload", daemon=True).start()


def _import_keras() -> None:
    import keras

    log.info("Keras %s is loaded", keras.__version__)


@app.task(name="training.prepare")  # type: ignore[untyped-decorator]
def prepare(training_id: str) -> None:
    training.prepare(worker(), training_id)


@app.task(name="training.extract_shard")  # type: ignore[untyped-decorator]
def extract_shard(training_id: str, shard: int) -> None:
    training.extract_shard(worker(), training_id, shard)


@app.task(name="training.finish")  # type: ignore[untyped-decorator]
def finish(training_id: str) -> None:
    training.finish(worker(), training_id)


@app.task(name="dataset.read")  # type: ignore[untyped-decorator]
def read_dataset(dataset_id: str) -> None:
    context = worker()
    ticker = Ticker(context.board, dataset_id)
    try:
        reading.read(
            context.stores.datasets,
            context.settings,
            dataset_id,
            lambda done, total: ticker(done, last=done == total),
        )
    except HeadstartError as error:
        log.info("dataset %s was refused: %s", dataset_id, error)
