"""Routes below `/v1/models`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.service import models
from trainer_service.service.answers import (
    ModelChange,
    ModelStatus,
    NewName,
    PinRequest,
    PromotionHistory,
    PromotionRequest,
    VersionChange,
)
from trainer_service.service.pretrained import submit_pretrained
from trainer_service.store.records.training_record import TrainingRecord

Force = Annotated[bool, Query(description="Also remove what is served.")]

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", responses=responses(422))
def list_models(trainer: CurrentTrainer) -> list[ModelStatus]:
    """List all models with their versions."""
    return models.list_models(trainer)


@router.post("", status_code=202, responses=responses(409, 422, 503, 507))
def publish_pretrained(
    request: PretrainedRequest,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> TrainingRecord:
    """Publish a pre-trained network with its own classifier for ImageNet as a version of a model.

    Nothing is trained. The answer is followed as that of a training: its record, its events, and
    cancelling it are below `/v1/trainings`.
    """
    record = submit_pretrained(trainer, request, idempotency_key)
    response.headers["Location"] = f"/v1/trainings/{record.id}"
    return record


@router.get("/{name}", responses=responses(404))
def get_model(name: str, trainer: CurrentTrainer) -> ModelStatus:
    """Return a model's versions, newest first, the pinned one, and which files can't be read."""
    return models.get_model(trainer, name)


@router.patch("/{name}", responses=responses(404, 409, 422, 503, 507))
def annotate_model(name: str, change: ModelChange, trainer: CurrentTrainer) -> ModelStatus:
    """Change the note of a model, or remove it with null."""
    return models.annotate_model(trainer, name, change)


@router.patch("/{name}/versions/{version}", responses=responses(404, 409, 422, 503, 507))
def annotate_version(
    name: str, version: int, change: VersionChange, trainer: CurrentTrainer
) -> ModelStatus:
    """Change the note or the alias of a version, or remove it with null.

    An alias belongs to one version of a model: another one that has it loses it.
    """
    return models.annotate_version(trainer, name, version, change)


@router.post("/{name}/rename", responses=responses(404, 409, 422, 503, 507))
def rename_model(name: str, new: NewName, trainer: CurrentTrainer) -> ModelStatus:
    """Give a model another name, under which the predictor then serves it."""
    return models.rename_model(trainer, name, new.name)


@router.delete("/{name}", status_code=204, responses=responses(404, 409, 503, 507))
def delete_model(name: str, trainer: CurrentTrainer, *, force: Force = False) -> None:
    """Remove a model with all versions; with `force`, also one that is served."""
    models.delete_model(trainer, name, force=force)


@router.delete(
    "/{name}/versions/{version}", status_code=204, responses=responses(404, 409, 422, 503, 507)
)
def delete_version(
    name: str, version: int, trainer: CurrentTrainer, *, force: Force = False
) -> None:
    """Remove a version; with `force`, also the one that is served, or one with an alias.

    If it is the only one, the model is gone.
    """
    models.delete_version(trainer, name, version, force=force)


@router.put("/{name}/pin", responses=responses(404, 422, 503, 507))
def pin_model(name: str, pin: PinRequest, trainer: CurrentTrainer) -> ModelStatus:
    """Pin a model to one version, or with null let the predictor serve the newest one again."""
    return models.pin_model(trainer, name, pin.version, shadow=pin.shadow)


@router.get("/{name}/promotions", responses=responses(404, 409))
def list_promotions(name: str, trainer: CurrentTrainer) -> PromotionHistory:
    """List which versions were decided to be served, or pinned: when, by what and why."""
    return models.list_promotions(trainer, name)


@router.post("/{name}/promotions", responses=responses(404, 409, 422, 503, 507))
def promote_version(name: str, promotion: PromotionRequest, trainer: CurrentTrainer) -> ModelStatus:
    """Let the predictor serve one of the versions from now on, until another one is promoted."""
    return models.promote_version(trainer, name, promotion.version)


@router.post("/{name}/rollback", responses=responses(404, 409, 503, 507))
def roll_back(name: str, trainer: CurrentTrainer) -> ModelStatus:
    """Return to the version that was served before; the one that is served now is not chosen again.

    Send a promotion to serve it all the same.
    """
    return models.roll_back(trainer, name)
