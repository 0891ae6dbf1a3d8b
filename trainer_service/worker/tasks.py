"""The Celery tasks; each calls a plain function."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_process_init

from shared.documents import reason
from shared.errors import HeadstartError
from shared.logs import get_logger
from trainer_service import training
from trainer_service.comparisons.advance import advance
from trainer_service.errors import RecordUnwritable
from trainer_service.phases.prepare import reading_step
from trainer_service.phases.work import Worker
from trainer_service.queue.celery_app import create_celery
from trainer_service.queue.steps import ADVANCE, COMPUTE_SHARD, FINISH, PREPARE, READ_DATASET
from trainer_service.queue.task_queue import WorkerQueue
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.stores import Stores
from trainer_service.worker import preload, task_log
from trainer_service.worker.hangup import HeedHangup
from trainer_service.worker.lost_steps_step import LostStepsSearch
from trainer_service.worker.retention_step import RetentionStep

log = get_logger(__name__)

settings = TrainerSettings()
app: Celery = create_celery(settings)
app.steps["worker"].add(HeedHangup)
app.steps["consumer"].update({LostStepsSearch, RetentionStep})
task_prerun.connect(task_log.begin)
task_postrun.connect(task_log.end)


@cache
def worker() -> Worker:
    """Return the context of this process; each process of the pool makes its own connections."""
    stores = Stores.open(settings)
    return Worker(settings, stores, ProgressBoard(stores.events), WorkerQueue(app))


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery is untyped
def begin_preload(**_: Any) -> None:
    """Import what every training needs, in a thread, while the first task may already run."""
    import numpy as np

    log.info("loading Keras beside the first task", numpy=np.__version__)
    preload.start()


@contextmanager
def _refusals_logged(training_id: str | None = None) -> Iterator[None]:
    """Log in one line why a step can't be run, for example because its training was removed.

    A disk that is full or read-only, or a directory that is closed, also gets only one line, as it
    may stay so and fail many steps. Clients that follow the training get the reason as an event.
    The training itself is unchanged: the search for lost steps submits the step again.
    """
    try:
        yield
    except RecordUnwritable as error:
        log.warning("the store can't be used now", reason=error.detail)
        _warn(training_id, error.detail)
    except HeadstartError as error:
        log.info("refused", reason=error.detail)
    except OSError as error:
        log.warning("the store can't be used now", reason=str(error))
        # Not the file: there may be one for each of many shards.
        place = f": {Path(os.fsdecode(error.filename)).parent}" if error.filename else ""
        _warn(training_id, f"{reason(error)}{place}")


def _warn(training_id: str | None, why: str) -> None:
    if training_id is not None:
        with suppress(OSError, HeadstartError):  # the log has the reason, too
            worker().warn_of_setback(training_id, why)


@app.task(name=PREPARE)  # type: ignore[untyped-decorator]
def prepare(training_id: str) -> None:
    with _refusals_logged(training_id):
        training.prepare(worker(), training_id)


@app.task(name=COMPUTE_SHARD)  # type: ignore[untyped-decorator]
def compute_shard(training_id: str, shard: int) -> None:
    preload.wait()
    with _refusals_logged(training_id):
        training.compute_shard(worker(), training_id, shard)


@app.task(name=FINISH)  # type: ignore[untyped-decorator]
def finish(training_id: str) -> None:
    preload.wait()
    with _refusals_logged(training_id):
        training.finish(worker(), training_id)


@app.task(name=ADVANCE)  # type: ignore[untyped-decorator]
def advance_comparison(comparison_id: str) -> None:
    with _refusals_logged():
        advance(worker(), comparison_id)


@app.task(name=READ_DATASET)  # type: ignore[untyped-decorator]
def read_dataset(dataset_id: str) -> None:
    with _refusals_logged():
        reading_step.read_dataset(worker(), dataset_id)
