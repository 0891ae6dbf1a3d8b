"""Routes below `/v1/models`."""

from fastapi import APIRouter

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service import models
from trainer_service.service.answers import ModelStatus, PinRequest

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=responses(422))
def list_models(trainer: CurrentTrainer) -> list[ModelStatus]:
    """List all models with their versions."""
    return models.list_models(trainer)


@router.get("/{name}", responses=responses(404))
def get_model(name: str, trainer: CurrentTrainer) -> ModelStatus:
    """Return a model's versions, newest first, the pinned one, and which files can't be read."""
    return models.get_model(trainer, name)


@router.delete(
    "/{name}/versions/{version}", status_code=204, responses=responses(404, 409, 422, 503, 507)
)
def delete_version(name: str, version: int, trainer: CurrentTrainer) -> None:
    """Remove a version, unless it is the one to serve: the pinned or else the newest intact one."""
    models.delete_version(trainer, name, version)


@router.put("/{name}/pin", responses=responses(404, 422, 503, 507))
def pin_model(name: str, pin: PinRequest, trainer: CurrentTrainer) -> ModelStatus:
    """Pin a model to one version, or with null let the predictor serve the newest one again."""
    return models.pin_model(trainer, name, pin.version)
