"""Settings of the trainer API and its workers."""

from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, model_validator
from redis import Redis

from shared.settings import SharedSettings, origin_of, read_named_file

GIB = 2**30


class TrainerSettings(SharedSettings):
    """The settings of the trainer and its workers; each is read from `HEADSTART_<FIELD>`."""

    datasets: Path | None = Field(
        default=None,
        description="Directory of datasets that trainings may name by their path; if unset, "
        "`datasets` with `make up`, else none.",
    )
    weights: Path = Field(
        default=Path("var/weights"),
        description="Directory of <architecture>.weights.h5 files; downloaded weights are kept "
        "there, too.",
    )
    weights_url: str = Field(
        default="https://storage.googleapis.com/tensorflow",
        description="Base URL of Keras' pre-trained weights, or of a mirror of them.",
    )
    weights_timeout: float = Field(
        default=3.0,
        gt=0,
        description="Seconds that the weights host may be silent before it counts as unavailable.",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        description="URL of Redis, which holds the queue and announces events. Each store needs a "
        "Redis, or a database of one, of its own.",
    )
    redis_password_file: Path | None = Field(
        default=None,
        description="File with the password of Redis, so that it need not be in the URL.",
    )
    lease_seconds: float = Field(
        default=20.0,
        ge=4,
        description="Seconds without a heartbeat after which other workers take over a "
        "worker's steps.",
    )
    worker_metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of a worker's metrics, on HEADSTART_HOST; none if unset.",
    )
    trainer_port: int = Field(
        default=8000, ge=0, le=65535, description="Port of the trainer API; 0 picks a free one."
    )
    predictor_port: int = Field(
        default=8001, ge=0, le=65535, description="Port of the predictor; 0 picks a free one."
    )
    predictor_url: str | None = Field(
        default=None,
        description="Address of the predictor for the trainer's page, which links to it and asks "
        "it; if unset, the page's own host with the predictor's port, and it is asked on this "
        "machine only.",
    )
    max_upload_bytes: int = Field(
        default=8 * GIB, gt=0, description="Largest request body with an archive, in bytes."
    )
    max_upload_files: int = Field(
        default=100_000, gt=0, description="Most files of a folder in one request."
    )
    max_uploads: int = Field(
        default=32, gt=0, description="Most uploads at once; further ones get 503."
    )
    max_open_jobs: int = Field(
        default=1000,
        gt=0,
        description="Most trainings and comparisons that wait or run, and most datasets; further "
        "ones get 503.",
    )
    max_dataset_bytes: int = Field(
        default=32 * GIB, gt=0, description="Largest dataset once unpacked, in bytes."
    )
    keep_versions: int = Field(
        default=0,
        ge=0,
        description="How many of the newest intact versions of each model are kept; 0: all.",
    )
    keep_trainings_days: float = Field(
        default=0, ge=0, description="Days that a training is kept after its end; 0: for ever."
    )
    keep_datasets_days: float = Field(
        default=0,
        ge=0,
        description="Days that a dataset is kept if no kept training used it; 0: for ever.",
    )
    keep_features_days: float = Field(
        default=90,
        ge=0,
        description="Days that features are kept after their last use; 0: for ever.",
    )
    keep_features_bytes: int = Field(
        default=0, ge=0, description="Most bytes of features that are kept; 0: no limit."
    )
    keep_activations_days: float = Field(
        default=1,
        ge=0,
        description="Days that activations for fine-tuning are kept after their last use; "
        "0: for ever.",
    )
    keep_activations_bytes: int = Field(
        default=4 * GIB,
        ge=0,
        description="Most bytes of activations for fine-tuning that are kept; 0: no limit.",
    )
    max_views_bytes: int = Field(
        default=2 * GIB,
        gt=0,
        description="Most memory that the features of further `views` may take while a head is "
        "trained, in bytes.",
    )
    max_dataset_files: int = Field(
        default=1_000_000, gt=0, description="Most files that one archive or folder may hold."
    )

    max_labels: int = Field(
        default=2000,
        gt=1,
        description="Most labels of a training; its memory and its report grow with their square.",
    )

    @property
    def predictor_origins(self) -> tuple[str, ...]:
        """The origins at which the trainer's page may ask the predictor."""
        if self.predictor_url is not None:
            return (origin_of("HEADSTART_PREDICTOR_URL", self.predictor_url),)
        names = ("localhost", "127.0.0.1")
        return tuple(f"http://{name}:{self.predictor_port}" for name in names)

    @model_validator(mode="after")
    def _check_predictor(self) -> Self:
        if self.predictor_url is not None:
            origin_of("HEADSTART_PREDICTOR_URL", self.predictor_url)
        return self

    @model_validator(mode="after")
    def _fill_in_the_password(self) -> Self:
        if self.redis_password_file is not None:
            self.redis_url = _with_password(self.redis_url, self.redis_password_file)
        _require_address(self.redis_url)
        return self


def _require_address(redis_url: str) -> None:
    """Refuse an invalid address, without repeating any part of it: it may hold a password."""
    try:
        Redis.from_url(redis_url).close()
    except ValueError:
        raise ValueError(
            "HEADSTART_REDIS_URL: expected an address such as redis://:password@127.0.0.1:6379/0, "
            "with a / in the password written as %2F"
        ) from None


def _with_password(url: str, file: Path) -> str:
    password = read_named_file("HEADSTART_REDIS_PASSWORD_FILE", file, "a password").strip()
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f":{quote(password, safe='')}@{host}"))
