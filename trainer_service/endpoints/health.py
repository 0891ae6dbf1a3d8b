"""Routes for probes: `/healthz` and `/readyz`."""

import os

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from trainer_service.endpoints.dependencies import CurrentTrainer
from trainer_service.queue import trouble
from trainer_service.service import Trainer

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Names what is not ready"}})
def readyz(request: Request, trainer: CurrentTrainer) -> JSONResponse:
    """Tell whether trainings can be accepted, and if not, why not; and which workers live.

    Without a worker they are accepted, too: they wait for one.
    """
    workers: list[str] = []
    problems = []
    try:
        workers = request.app.state.view.workers()
        request.app.state.view.require_writes()
    except (redis.RedisError, OSError) as error:
        problems.append(trouble(error))
    if problem := _store(trainer):
        problems.append(problem)
    status = "not ready" if problems else "ok"
    body = {"status": status, "problems": problems, "workers": workers}
    return JSONResponse(body, 503 if problems else 200)


def _store(trainer: Trainer) -> str | None:
    store = trainer.settings.store
    return None if os.access(store, os.W_OK) else f"The store {store} is not writable."
