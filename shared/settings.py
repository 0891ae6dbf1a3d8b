"""Settings that both services read from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

EngineChoice = Literal["auto", "openvino", "tensorflow"]
PrecisionChoice = Literal["auto", "f32"]


class SharedSettings(BaseSettings):
    """Every field is read from `HEADSTART_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="HEADSTART_", extra="ignore")

    store: Path = Field(
        default=Path("var/store"),
        description="Directory of the store, shared by trainer, workers and predictor.",
    )
    host: str = Field(default="127.0.0.1", description="Address that the HTTP services bind to.")
    engine: EngineChoice = Field(
        default="auto",
        description="auto: tensorflow where there is a GPU, openvino elsewhere.",
    )
    precision: PrecisionChoice = Field(
        default="auto",
        description="auto: bfloat16 or float16 where the hardware is fast at it; f32: never.",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads for decoding and inference; 0 means all cores."
    )
    max_image_bytes: int = Field(
        default=32 * 2**20, gt=0, description="Largest image file that is read, in bytes."
    )
    max_image_pixels: int = Field(
        default=64_000_000, gt=0, description="Largest image that is decoded, in pixels."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    shutdown_seconds: int = Field(
        default=8, gt=0, description="Seconds that requests in flight get to finish at shutdown."
    )
