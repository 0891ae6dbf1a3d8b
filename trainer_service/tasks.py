"""Celery tasks: doorways to the plain functions of `training` and `datasets`."""

import threading
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_process_init

from shared.errors import HeadstartError
from shared.lease import LeaseLost
from shared.logs import get_logger
from trainer_service import reading, task_log, training
from trainer_service.celery_app import create_celery
from trainer_service.progress import ProgressBoard
from trainer_service.queue import WorkerQueue
from trainer_service.retention_step import RetentionStep
from trainer_service.settings import TrainerSettings
from trainer_service.steps import EXTRACT_SHARD, FINISH, PREPARE, READ_DATASET
from trainer_service.stores import Stores
from trainer_service.sweep_step import SweepStep
from trainer_service.worker_context import Worker

log = get_logger(__name__)

settings = TrainerSettings()
app: Celery = create_celery(settings)
app.steps["consumer"].update({SweepStep, RetentionStep})
task_prerun.connect(task_log.begin)
task_postrun.connect(task_log.end)


@cache
def worker() -> Worker:
    """Return this process's context; each process of the pool makes its own connections."""
    stores = Stores.open(settings)
    return Worker(settings, stores, ProgressBoard(stores.events), WorkerQueue(app))


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery is untyped
def preload(**_: Any) -> None:
    """Import what every training needs, once per process and beside its first task."""
    import numpy as np

    log.info("loading Keras beside the first task", numpy=np.__version__)
    threading.Thread(target=_import_keras, name="preload", daemon=True).start()


def _import_keras() -> None:
    import keras

    log.info("Keras is loaded", keras=keras.__version__)


@app.task(name=PREPARE)  # type: ignore[untyped-decorator]
def prepare(training_id: str) -> None:
    training.prepare(worker(), training_id)


@app.task(name=EXTRACT_SHARD)  # type: ignore[untyped-decorator]
def extract_shard(training_id: str, shard: int) -> None:
    training.extract_shard(worker(), training_id, shard)


@app.task(name=FINISH)  # type: ignore[untyped-decorator]
def finish(training_id: str) -> None:
    training.finish(worker(), training_id)


@app.task(name=READ_DATASET)  # type: ignore[untyped-decorator]
def read_dataset(dataset_id: str) -> None:
    context = worker()
    try:
        reading.read(context.stores.datasets, context.settings, dataset_id)
    except LeaseLost as lost:
        log.warning("left to another worker", reason=str(lost))
    except (HeadstartError, OSError) as error:
        log.info("refused", reason=str(error))
    except Exception:
        log.exception("a dataset could not be read", dataset_id=dataset_id)
