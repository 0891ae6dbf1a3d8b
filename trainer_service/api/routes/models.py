"""Routes below `/v1/models`."""

from fastapi import APIRouter, Response

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.service import models
from trainer_service.service.answers import (
    ModelStatus,
    PinRequest,
    PromotionHistory,
    PromotionRequest,
)
from trainer_service.service.pretrained import submit_pretrained
from trainer_service.store.records.training_record import TrainingRecord

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


@router.delete(
    "/{name}/versions/{version}", status_code=204, responses=responses(404, 409, 422, 503, 507)
)
def delete_version(name: str, version: int, trainer: CurrentTrainer) -> None:
    """Remove a version, unless it is the one to serve: the pinned one, or what was decided last."""
    models.delete_version(trainer, name, version)


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
