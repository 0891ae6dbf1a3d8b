"""Routes below `/v1/architectures`."""

from fastapi import APIRouter

from shared.http.problems import responses
from trainer_service.api.dependencies import CurrentTrainer
from trainer_service.service import architectures
from trainer_service.service.answers import ArchitectureStatus

router = APIRouter(prefix="/v1/architectures", tags=["architectures"])


@router.get("", responses=responses(422))
def list_architectures(trainer: CurrentTrainer) -> list[ArchitectureStatus]:
    """List the catalogue of architectures, and whether the weights of each are available now."""
    return architectures.list_architectures(trainer)
