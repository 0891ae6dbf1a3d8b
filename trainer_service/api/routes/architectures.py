"""Routes about the catalogue of architectures, and what their own classifiers tell apart."""

from fastapi import APIRouter

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service import architectures
from trainer_service.service.answers import ArchitectureStatus, ImageNetClasses

router = APIRouter(tags=["architectures"])


@router.get("/v1/architectures", responses=responses(422))
def list_architectures(trainer: CurrentTrainer) -> list[ArchitectureStatus]:
    """List the catalogue of architectures, and whether the weights of each are available now."""
    return architectures.list_architectures(trainer)


@router.get("/v1/imagenet-classes", responses=responses(422))
def list_classes() -> ImageNetClasses:
    """List the 1,000 classes that a pre-trained network tells apart with its own classifier."""
    return architectures.list_classes()
