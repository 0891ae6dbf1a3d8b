"""The bodies of the trainer API's answers that are not records."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from shared.identifiers import ModelName
from shared.models.annotations import Alias, Note
from shared.models.manifest import PretrainedInfo, TuneInfo
from shared.models.promotions import Decision
from trainer_service.requests.part import RequestPart


class ClassifierStatus(BaseModel):
    """Whether the weights of an architecture with its classifier for ImageNet are available.

    Then it can be published as it is. The fields are as those of `ArchitectureStatus`.
    """

    available: bool
    source: str | None
    detail: str


class ImageNetClasses(BaseModel):
    """The names of the 1,000 classes of ImageNet, in the order of the networks' outputs."""

    classes: list[str]


class ArchitectureStatus(BaseModel):
    """An architecture of the catalogue, and whether its weights are available.

    Attributes:
        id: the name that requests use.
        input_size: height and width of the input, in pixels.
        feature_size: length of the features of its last layer.
        taps: the layers that features can be taken from, early to late, with their lengths. The
            tap set `late` is the last three of them.
        parameters: number of parameters.
        multiply_adds: multiply-adds for one image.
        cuts: the layers that `tune.from` may name, early to late, with the multiply-adds for one
            image of what is trained then. `pixels` is all of the network.
        tail: the one of them that `tune: tail` takes.
        available: whether the weights are on this machine or can be downloaded.
        source: the file, package or URL of the weights; None if they are not available.
        detail: where the weights are, or what was tried, as a sentence.
        classifier: the same of the weights with the network's own classifier for ImageNet.
    """

    id: str
    input_size: int
    feature_size: int
    taps: dict[str, int]
    parameters: int
    multiply_adds: int
    cuts: dict[str, int]
    tail: str
    available: bool
    source: str | None
    detail: str
    classifier: ClassifierStatus


class VersionStatus(BaseModel):
    """A version of a model, from its manifest.

    Attributes:
        tune: what came of fine-tuning; None if it was not asked for.
        pretrained: what it is if nothing was trained; None otherwise.
        decision: what was decided last about whether it is served; None if nothing was.
    """

    version: int
    architecture: str
    labels: list[str]
    tune: TuneInfo | None
    pretrained: PretrainedInfo | None
    metrics: dict[str, Any]
    training_id: str
    created_at: datetime
    decision: Decision | None = None
    note: str | None = None
    alias: str | None = None


class DamagedVersion(BaseModel):
    """A version whose manifest can't be read, and why."""

    version: int
    reason: str


class ModelStatus(BaseModel):
    """A model and its versions, the newest first.

    Attributes:
        serving: the version that the predictor is to serve, the first in the order of preference
            whose manifest can be read; None if no version is to be served. The predictor serves
            another one if this one does not answer as it did in training.
        shadow: whether the newest version answers beside the pinned one, unseen.
        damaged: the versions whose manifests can't be read; they are not among `versions`.
        notice: what else of the model can't be read, as a sentence; None if everything can.
        note: what people have noted of the model.
        formerly: the names that it had before, oldest first.
    """

    name: str
    pinned: int | None
    shadow: bool = False
    serving: int | None = None
    versions: list[VersionStatus]
    damaged: list[DamagedVersion] = Field(default_factory=list)
    notice: str | None = None
    note: str | None = None
    formerly: list[str] = Field(default_factory=list)


class PinRequest(RequestPart):
    """The version to pin a model to."""

    version: int | None = Field(description="Version to serve from now on; null un-pins.", ge=1)
    shadow: bool = Field(
        default=False,
        description="Let the newest version answer some of the pictures beside the pinned one, "
        "unseen; the predictor tells how often they differ.",
    )

    @model_validator(mode="after")
    def _shadow_a_pinned_version(self) -> Self:
        if self.shadow and self.version is None:
            raise ValueError(
                "shadow: expected a version to pin beside it, which the newest is compared with. "
                "Received: version null"
            )
        return self


class ModelChange(RequestPart):
    """What to change of a model; what is left out stays."""

    note: Note | None = Field(default=None, description="Null removes the note.")


class VersionChange(RequestPart):
    """What to change of a version; what is left out stays."""

    note: Note | None = Field(default=None, description="Null removes the note.")
    alias: Alias | None = Field(
        default=None,
        description="A word for the version, such as champion: a request to the predictor may name "
        "it. It is taken from the version that has it. Null removes it.",
    )


class NewName(RequestPart):
    """The name that a model is to have."""

    name: ModelName


class PromotionRequest(RequestPart):
    """The version to serve."""

    version: int = Field(description="Version to serve from now on.", ge=1)


class PromotionHistory(BaseModel):
    """Which versions of a model were decided to be served, the latest decision first.

    Attributes:
        serving: as in `ModelStatus`.
        pinned: the version that the model is pinned to, whatever was decided.
    """

    model: str
    serving: int | None
    pinned: int | None
    decisions: list[Decision]


class About(BaseModel):
    """The settings of the service that its clients and its page need to know.

    Attributes:
        predictor_url: the address of the predictor; None if it is on the trainer's host, at
            `predictor_port`.
        predictor_port: the port of the predictor if `predictor_url` is None.
        max_upload_bytes: the largest request with images, in bytes.
        max_upload_files: the most files of a folder in one request.
        paths: whether a dataset may be named by its path below the datasets directory.
        keys: whether requests need an API key.
    """

    predictor_url: str | None
    predictor_port: int
    max_upload_bytes: int
    max_upload_files: int
    paths: bool
    keys: bool
