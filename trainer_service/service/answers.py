"""What the trainer answers beside the records themselves."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from trainer_service.training_request import RequestPart


class ArchitectureStatus(BaseModel):
    """A row of the catalogue, and whether its weights can be had now and from where."""

    id: str
    input_size: int
    feature_size: int
    parameters: int
    multiply_adds: int
    available: bool
    source: str | None
    detail: str


class VersionStatus(BaseModel):
    version: int
    architecture: str
    labels: list[str]
    metrics: dict[str, Any]
    training_id: str
    created_at: datetime


class DamagedVersion(BaseModel):
    """A version whose manifest can't be read, and why."""

    version: int
    reason: str


class ModelStatus(BaseModel):
    """A model and its versions, the newest first.

    Attributes:
        damaged: the versions that are not among the others, as their manifests can't be read.
        notice: what else of the model can't be read, in words.
    """

    name: str
    pinned: int | None
    versions: list[VersionStatus]
    damaged: list[DamagedVersion] = Field(default_factory=list)
    notice: str | None = None


class PinRequest(RequestPart):
    version: int | None = Field(description="Version to serve from now on; null un-pins.", ge=1)


class About(BaseModel):
    """What a client can't know by itself.

    Attributes:
        predictor_url: where the predictor answers, null if on the trainer's host.
        predictor_port: the port of the predictor there.
        max_upload_bytes: largest request with images.
        max_upload_files: most files of a folder in one request.
        paths: whether datasets may be named by a path below the datasets directory.
        keys: whether requests need an API key.
    """

    predictor_url: str | None
    predictor_port: int
    max_upload_bytes: int
    max_upload_files: int
    paths: bool
    keys: bool
