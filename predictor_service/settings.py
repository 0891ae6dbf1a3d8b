"""Settings of the predictor."""

from typing import Self

from pydantic import Field, model_validator

from shared.settings import SharedSettings, origin_of

_TRAINER = "HEADSTART_TRAINER_URL"


class PredictorSettings(SharedSettings):
    """The settings of the predictor; every field is read from `HEADSTART_<FIELD>`."""

    predictor_port: int = Field(
        default=8001, ge=0, le=65535, description="Port of the predictor; 0 picks a free one."
    )
    trainer_url: str | None = Field(
        default=None,
        description="Address of the trainer, to which the predictor's page sends images with the "
        "labels that people give them; none are sent if unset.",
    )
    poll_seconds: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between two polls of the model store; a version that is published is "
        "mostly seen sooner.",
    )
    watch_seconds: float = Field(
        default=300.0,
        ge=0,
        description="Seconds for which a version is watched after it was loaded; if it fails, the "
        "one before is served again. 0: not at all.",
    )
    max_batch: int = Field(default=8, gt=0, description="Most images in one forward pass.")
    max_queue: int = Field(
        default=256, gt=0, description="Most images that may wait; further requests get 503."
    )
    max_files: int = Field(default=64, gt=0, description="Most files in one predict request.")
    max_requests: int = Field(
        default=256, gt=0, description="Most predict requests at once; further ones get 503."
    )
    max_request_bytes: int = Field(
        default=256 * 2**20, gt=0, description="Largest predict request, in bytes."
    )
    max_held_bytes: int = Field(
        default=0,
        ge=0,
        description="Most bytes of all predict requests in memory together; further requests "
        "get 503. 0: twice HEADSTART_MAX_REQUEST_BYTES.",
    )

    max_versions_on_demand: int = Field(
        default=2,
        ge=0,
        description="Most versions in memory besides the served ones, as requests with `version` "
        "ask for them; 0: none.",
    )
    version_seconds: float = Field(
        default=30,
        gt=0,
        description="Seconds that a request waits for the version that it asks for; then it gets "
        "503.",
    )

    max_explained: int = Field(
        default=16,
        gt=0,
        description="Most images that may wait for heatmaps; further requests for some get 503.",
    )

    @property
    def trainer_origins(self) -> tuple[str, ...]:
        """The origin of the trainer, if the predictor's page may ask it."""
        return () if self.trainer_url is None else (origin_of(_TRAINER, self.trainer_url),)

    @model_validator(mode="after")
    def _check_trainer(self) -> Self:
        if self.trainer_url is not None:
            origin_of(_TRAINER, self.trainer_url)
        return self

    @property
    def held_bytes(self) -> int:
        """The bytes that all predict requests may take in memory together."""
        return self.max_held_bytes or 2 * self.max_request_bytes
