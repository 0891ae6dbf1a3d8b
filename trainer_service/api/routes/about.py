"""The route `/v1/about`."""

from fastapi import APIRouter

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service.answers import About

router = APIRouter(prefix="/v1/about", tags=["about"])


@router.get("", responses=responses(422))
def about(trainer: CurrentTrainer) -> About:
    """Return the limits of uploads, and the address of the predictor."""
    settings = trainer.settings
    return About(
        predictor_url=settings.predictor_url,
        predictor_port=settings.predictor_port,
        max_upload_bytes=settings.max_upload_bytes,
        max_upload_files=settings.max_upload_files,
        paths=settings.datasets is not None,
        keys=bool(settings.read_api_keys()),
    )
