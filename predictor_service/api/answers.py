"""The answers of the predictor."""

from datetime import datetime

from pydantic import BaseModel, Field

from shared.http.problems import Problem
from shared.models.manifest import CoverageInfo, UnknownInfo


class LabelProbability(BaseModel):
    label: str
    probability: float = Field(ge=0, le=1)


class Heatmap(BaseModel):
    """Which places of a picture speak for a label.

    The whole picture is seen as a square, whatever its shape: the first number of the first row of
    the grid, and the first pixel of the PNG, belong to its top left corner.
    """

    label: str = Field(description="The label that was asked for, or the likeliest one.")
    score: float = Field(
        description="The logarithm of its probability, less the mean of all labels' logarithms, "
        "up to the rounding of the precision that the version is served in."
    )
    rest: float = Field(
        description="The part of the score that belongs to no place. "
        "With the numbers of the grid, it adds up to the score."
    )
    grid: list[list[float]] = Field(
        description="What each of 14 x 14 places adds to the score; row after row, from the top."
    )
    png: str = Field(
        description="Where the picture speaks more for the label than it does on average: a PNG "
        "(base64) of the size of the network's input, transparent elsewhere, to be stretched over "
        "the picture."
    )


class NearImage(BaseModel):
    """A training image that a picture is like."""

    image: str = Field(description="The SHA-256 of its file.")
    distance: float = Field(ge=0, le=2, description="0: the same; 1: nothing in common.")


class Prediction(BaseModel):
    """The prediction for one file."""

    file: str | None = Field(description="The file's name as it was sent, if it had one.")
    model: str
    version: int
    alias: str | None = Field(description="The alias of this version, if it has one.")
    note: str | None = Field(description="The note of this version, if it has one.")
    label: str
    probability: float = Field(ge=0, le=1)
    top: list[LabelProbability] = Field(description="The likeliest labels, likeliest first.")
    heat: Heatmap | None = Field(None, description="If `explain` asked for it.")
    known: float | None = Field(
        description="The share of pictures of the training's kind that are at least as far from "
        "the training images as this one. Null if the version can't tell."
    )
    unknown: bool | None = Field(
        description="Whether it is unlike all training images: `known` is at most `false_alarms`. "
        "Null if the version can't tell at that rate."
    )
    nearest: list[NearImage] = Field(
        description="Up to three training images that it is most like, the nearest first."
    )
    labels: list[str] | None = Field(
        default=None,
        description="If `coverage` was asked for: the labels among which the right one is as "
        "often as that, the likeliest first.",
    )


class FileError(BaseModel):
    """The reason why a file got no prediction."""

    file: str | None
    error: Problem


class PredictResponse(BaseModel):
    predictions: list[Prediction | FileError] = Field(
        description="One entry for each file, in the order in which they were sent."
    )


class Quarantine(BaseModel):
    """A version that was refused; the predictor tries it again when its files change."""

    version: int
    reason: str
    at: datetime


class ShadowInfo(BaseModel):
    """How often a version that answers beside the served one, unseen, gives another label."""

    version: int
    since: datetime
    seen: int = Field(description="The pictures that the served version has answered since.")
    compared: int = Field(description="The pictures of these that it has answered, too.")
    different: int = Field(description="To how many of those its likeliest label was another one.")
    share: float | None = Field(description="That share. Null if nothing was compared yet.")
    failed: int = Field(description="The pictures that it could not answer.")
    seconds: float = Field(
        description="How long that took in all; a tenth of the time since then at most."
    )


class LoadedVersion(BaseModel):
    """A version that is in memory since a request asked for it."""

    version: int
    engine: str
    precision: str
    loaded_at: datetime


class ModelInfo(BaseModel):
    """A model of the store, and which of its versions is served."""

    name: str
    version: int | None = Field(description="The version that is served, if any is.")
    pinned: int | None
    versions: list[int] = Field(description="The published versions, oldest first.")
    loading: int | None = Field(description="The version that is being loaded, if any is.")
    engine: str | None
    precision: str | None
    architecture: str | None
    labels: list[str]
    dataset: str | None = Field(description="The dataset that the version was trained on.")
    loaded_at: datetime | None
    heatmaps: bool = Field(description="Whether the served version can answer with heatmaps.")
    quarantined: list[Quarantine]
    unknown: UnknownInfo | None = Field(
        description="How well the served version tells which pictures are unknown to it."
    )
    coverage: CoverageInfo | None = Field(
        description="How often the labels that it answers with `coverage` have the right one."
    )
    shadow: ShadowInfo | None = Field(
        description="What the version answers that was asked to answer beside the pinned one."
    )
    notice: str | None = Field(
        description="Why the store of the model can't be read, or its pinned version not served, "
        "or which version was left as it failed."
    )
    note: str | None = Field(description="The note of the model.")
    version_note: str | None = Field(description="The note of the served version.")
    alias: str | None = Field(description="The alias of the served version.")
    aliases: dict[str, int] = Field(description="The versions that have an alias, by it.")
    on_demand: list[LoadedVersion] = Field(
        description="Versions in memory besides the served one, which requests have asked for."
    )


class ModelList(BaseModel):
    models: list[ModelInfo]


class About(BaseModel):
    """What the page needs to know of the installation."""

    trainer_url: str | None = Field(
        description="The address of the trainer, if the page may send images to it."
    )


class Health(BaseModel):
    status: str
