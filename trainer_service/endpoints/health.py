"""Routes for probes: `/healthz` and `/readyz`."""

import os

import redis
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from trainer_service.endpoints.dependencies import CurrentTrainer
from trainer_service.service import Trainer

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Names what is not ready"}})
def readyz(trainer: CurrentTrainer) -> JSONResponse:
    """Tell whether trainings can be accepted, and if not, why not."""
    problems = [problem for problem in (_redis(trainer), _store(trainer)) if problem]
    status = "ok" if not problems else "not ready"
    return JSONResponse({"status": status, "problems": problems}, 200 if not problems else 503)


def _redis(trainer: Trainer) -> str | None:
    try:
        trainer.stores.events.ping()
    except (redis.RedisError, OSError) as error:
        return f"Redis can't be reached: {error}"
    return None


def _store(trainer: Trainer) -> str | None:
    store = trainer.settings.store
    return None if os.access(store, os.W_OK) else f"The store {store} is not writable."
