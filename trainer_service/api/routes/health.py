"""Routes for probes: `/healthz` and `/readyz`."""

import os
from pathlib import Path

import redis
from anyio import fail_after
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.api.threads import Threads
from trainer_service.queue.task_queue import trouble
from trainer_service.queue.view import QUEUE_TYPES, QueueView
from trainer_service.service.trainer import Trainer
from trainer_service.store.identity import store_id
from trainer_service.store.stores import UPLOADS

#: Probes wait for four seconds (docker-compose.yml).
LONGEST_SECONDS = 3

#: The directories that the service itself reads and writes; each is made when it is first needed.
DIRECTORIES = ("trainings", "datasets", "models", UPLOADS, "idempotency")

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer as long as the process runs; nothing else is checked, and no thread is needed."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Names what is not ready"}})
async def readyz(request: Request, trainer: CurrentTrainer) -> JSONResponse:
    """Return whether trainings can be accepted, the reasons if not, and the workers that are alive.

    Without a worker, trainings are accepted as well: they wait for one.
    """
    threads: Threads = request.app.state.threads
    view: QueueView = request.app.state.view
    try:
        with fail_after(LONGEST_SECONDS):
            workers, problems = await threads.probe(_look, view, trainer)
    except TimeoutError:
        workers, problems = [], [f"Redis or the store did not answer within {LONGEST_SECONDS} s."]
    status = "not ready" if problems else "ok"
    body = {"status": status, "problems": problems, "workers": workers}
    return JSONResponse(body, 503 if problems else 200)


def _look(view: QueueView, trainer: Trainer) -> tuple[list[str], list[str]]:
    """Return the workers that are alive, and the reasons why the service is not ready."""
    workers: list[str] = []
    problems: list[str] = []
    try:
        view.require_own(store_id(trainer.settings.store))
        workers = view.workers()
        view.require_writes()
        problems += [
            f"Redis: the key {key!r} should be a {QUEUE_TYPES[key]}, as a part of the queue. "
            f"It is a {type_}; delete it, or use another database."
            for key, type_ in view.foreign_keys().items()
        ]
    except (redis.RedisError, OSError) as error:
        problems.append(trouble(error))
    problems += _closed_directories(trainer.settings.store)
    return workers, problems


def _closed_directories(store: Path) -> list[str]:
    """Return what keeps the service from using the store, a sentence for each directory."""
    if not _is_open(store):
        return [f"The store {store} is not writable."]
    return [
        f"{name} in the store can't be read and written by the user id {os.geteuid()}."
        for name in DIRECTORIES
        if (store / name).exists() and not _is_open(store / name)
    ]


def _is_open(directory: Path) -> bool:
    return os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
