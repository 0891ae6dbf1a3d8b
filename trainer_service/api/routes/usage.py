"""The route `/v1/usage`."""

from fastapi import APIRouter, Request

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.api.threads import Threads
from trainer_service.service.usage import Usage

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", responses=responses(422, 503))
async def get_usage(request: Request, trainer: CurrentTrainer) -> Usage:
    """Return how many bytes lie where in the store, and what retention removes next.

    It is measured at most every 30 seconds, for up to 10 seconds.
    """
    threads: Threads = request.app.state.threads
    return await threads.measure(trainer.usage, trainer.settings, trainer.stores)
