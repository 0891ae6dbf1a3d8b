"""What the trainer is asked and what it answers."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from shared.errors import TrainingEnded
from shared.identifiers import ModelName
from shared.manifest import Quantization

DEFAULT_ARCHITECTURE = "mobilenet_v2"

#: A record names at most so many rejected files; `GET /v1/datasets/{id}/rejected` has them all.
NAMED_REJECTED = 20
#: With more labels, lists tell nothing of each, and an evaluation of each is the report's alone.
FEW_LABELS = 64
_LONGEST_NAME = 200
_LONGEST_DETAIL = 300
_LONGEST_ERROR = 4000


def shortened(text: str, most: int) -> str:
    """Return at most `most` characters of a text: its beginning and its end."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


class State(StrEnum):
    """Where a training stands; the last three are its ends."""

    QUEUED = "queued"
    PREPARING = "preparing"
    BOTTLENECK = "bottleneck"
    HEAD = "head"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DatasetPath(_Request):
    """A folder or archive below the datasets directory of the trainer's machine."""

    path: str = Field(min_length=1, max_length=4096, examples=["pets"])


class SplitFractions(_Request):
    """Shares of the images held out from training, where the archive brings no split itself."""

    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self


class EarlyStopping(_Request):
    """Ends the head phase when `metric` has not improved by `min_delta` for `patience` epochs."""

    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    min_delta: float = Field(default=0.0, ge=0)
    patience: int = Field(default=8, ge=1, le=1000)


def _kind_of(value: object) -> str | None:
    """Return the tag of what a value is meant as, or None if it is of no kind that is known."""
    if value is None:
        return "(none)"
    if isinstance(value, dict | EarlyStopping | DatasetPath):
        return "(object)"
    return "(text)" if isinstance(value, str) else None


def _expected(what: str) -> Discriminator:
    return Discriminator(_kind_of, custom_error_type="kind", custom_error_message=what)


# Tags in brackets, which errors leave out: whoever reads these knows nothing of the union.
_Stopping = Annotated[
    Annotated[EarlyStopping, Tag("(object)")] | Annotated[Literal["off"], Tag("(text)")],
    _expected("Input should be 'off', or an object with metric, min_delta or patience"),
]
_Dataset = Annotated[
    Annotated[str, Tag("(text)")]
    | Annotated[DatasetPath, Tag("(object)")]
    | Annotated[None, Tag("(none)")],
    _expected("Input should be the id of a dataset, or an object with a path"),
]


class TrainingRequest(_Request):
    """One training; every field but the images has a default that does."""

    model: ModelName = Field(default="default", description="Name of the model to publish.")
    architecture: str = Field(default=DEFAULT_ARCHITECTURE, max_length=64)
    dataset: _Dataset = Field(
        default=None,
        description="Id of a dataset, or {'path': …} below the trainer's datasets directory.",
    )
    epochs: int = Field(default=50, ge=1, le=10_000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    learning_rate_schedule: Literal["constant", "exponential", "polynomial", "cosine"] = "constant"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    dropout: float = Field(default=0.2, ge=0, lt=1)
    hidden_units: int = Field(default=0, ge=0, le=16_384, description="0: no hidden layer.")
    early_stopping: _Stopping = Field(default_factory=EarlyStopping)
    class_weights: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "int8"] = Field(
        default="auto",
        description="int8: add a quantized graph, if it is faster and as accurate.",
    )
    split: SplitFractions = Field(default_factory=SplitFractions)
    seed: int = Field(default=0, ge=0, lt=2**31)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Brief(NamedTuple):
    """What is kept in memory of a record.

    Attributes:
        state: where it stands.
        waits: whether it counts as one that waits or runs.
        dataset: the id of the dataset that it is about.
        listed: what lists answer, as JSON: a few kilobytes at most.
    """

    id: str
    created_at: datetime
    state: str
    waits: bool
    dataset: str
    listed: bytes


class BaseRecord(_Part):
    """What lies in the store under an id of its own."""

    id: str
    created_at: AwareDatetime

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        raise NotImplementedError


class Transition(_Part):
    """A state and when it was entered; `seconds` is how long it lasted, null while it does."""

    state: State
    at: AwareDatetime
    seconds: float | None = None


class Progress(_Part):
    phase: State
    done: int
    total: int
    per_second: float | None = None
    eta_seconds: float | None = None


class RejectedImage(_Part):
    name: str
    label: str | None = None
    verdict: str
    detail: str = ""

    def shortened(self) -> Self:
        """Return it with names that fit into a record."""
        short = {
            "name": shortened(self.name, _LONGEST_NAME),
            "label": self.label and shortened(self.label, _LONGEST_NAME),
            "detail": shortened(self.detail, _LONGEST_DETAIL),
        }
        return self.model_copy(update=short)


class Found(_Part):
    """What was found in a dataset, in numbers, and the first few of the files that are not used.

    Attributes:
        labels: the images of each label; none in lists if there are more than 64 labels.
        label_count: how many labels there are.
        rejected: 20 at most, and none in lists.
        rejected_count: how many were rejected.
        verdicts: how many of them for which reason.
    """

    images: int | None = None
    labels: dict[str, int] = Field(default_factory=dict)
    label_count: int = 0
    rejected: list[RejectedImage] = Field(default_factory=list)
    rejected_count: int = 0
    verdicts: dict[str, int] = Field(default_factory=dict)

    def count_labels(self, labels: dict[str, int]) -> None:
        self.labels, self.label_count = labels, len(labels)

    def reject(self, images: Sequence[RejectedImage], verdicts: dict[str, int]) -> None:
        """Note what was rejected.

        Args:
            images: the first of them, or all.
            verdicts: how many there are of each verdict.
        """
        self.rejected = [image.shortened() for image in images[:NAMED_REJECTED]]
        self.rejected_count = sum(verdicts.values())
        self.verdicts = verdicts

    def in_lists(self) -> Self:
        """Return what lists show."""
        few = self.label_count <= FEW_LABELS
        return self.model_copy(update={"rejected": [], "labels": self.labels if few else {}})

    @model_validator(mode="after")
    def _of_before(self) -> Self:
        """Count what records of before told by name only."""
        if self.labels and not self.label_count:
            self.label_count = len(self.labels)
        if self.rejected and not self.rejected_count:
            self.reject(self.rejected, dict(Counter(image.verdict for image in self.rejected)))
        return self


class TrainingDataset(Found):
    id: str
    split: dict[str, int] = Field(default_factory=dict)


class CacheUse(_Part):
    """How many images' features were already there, and the seconds of computing that saved."""

    reused: int
    computed: int
    seconds_saved: float


class ErrorInfo(_Part):
    """What went wrong; `transient` if it was the machine, so that it can be tried again."""

    type: str
    detail: Annotated[str, AfterValidator(partial(shortened, most=_LONGEST_ERROR))]
    transient: bool = False


class Asked(_Part):
    """What somebody has asked of a training that has not ended; see `TrainingRecord`."""

    cancel: bool = False
    stop_after: int | None = None


class TrainingRecord(BaseRecord):
    """One training, as the trainer answers it and as it lies in the store.

    Attributes:
        metrics: numbers; those of each label and the confusion matrix are in the report, and with
            few labels in the answer of this training alone, too.
        report: where that is answered, once there is one.
        stop_after: the epoch that the head was at when it was asked to stop and to publish the
            best so far; a head trained again after a fault stops there, too.
    """

    model: str
    architecture: str
    state: State
    version: int | None = None
    dataset: TrainingDataset
    progress: Progress | None = None
    transitions: list[Transition] = Field(min_length=1)
    cache: CacheUse | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    report: str | None = None
    quantization: Quantization | None = None
    error: ErrorInfo | None = None
    cancel_requested: bool = False
    stop_after: int | None = None
    request: TrainingRequest

    def enter(self, state: State) -> None:
        """Move to `state`, timing the one that ends; entering the current one changes nothing.

        Raises:
            TrainingEnded: the training has ended; there is no way back.
        """
        if state == self.state:
            return
        if self.state.ended:
            raise TrainingEnded(self.id, self.state)
        now = datetime.now(UTC)
        last = self.transitions[-1]
        # The clock of the machine may have been set back since.
        last.seconds = round(max(0.0, (now - last.at).total_seconds()), 3)
        seconds = 0.0 if state.ended else None
        self.transitions.append(Transition(state=state, at=now, seconds=seconds))
        self.state = state
        self.progress = None

    def in_lists(self) -> Self:
        """Return what lists show."""
        short = {"metrics": numbers(self.metrics), "dataset": self.dataset.in_lists()}
        return self.model_copy(update=short)

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        listed = self.in_lists().model_dump_json().encode()
        waits = not self.state.ended
        return Brief(self.id, self.created_at, self.state, waits, self.dataset.id, listed)


def told(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation as it is told with a training or a version.

    Without what there is for each label, and for each two, if there are many: that is the report's.
    """
    test = metrics.get("test")
    labels = test.get("per_class") if isinstance(test, dict) else None
    many = isinstance(labels, dict) and len(labels) > FEW_LABELS
    return numbers(metrics) if many else metrics


def numbers(metrics: dict[str, Any]) -> dict[str, dict[str, int | float]]:
    """Return of each part of an evaluation what is a number, as the accuracy is."""
    return {
        part: {name: value for name, value in values.items() if isinstance(value, int | float)}
        for part, values in metrics.items()
        if isinstance(values, dict)
    }


class DatasetState(StrEnum):
    QUEUED = "queued"
    READING = "reading"
    READY = "ready"
    FAILED = "failed"


class DatasetRecord(Found, BaseRecord):
    """A set of labelled images.

    Attributes:
        source: the name of the uploaded archive, or the path below the datasets directory.
        path: whether `source` is a path.
        in_place: whether the images stay in the folder `source` instead of in the store.
        submitted: whether it is to be read by itself, not only when a training needs it.
    """

    state: DatasetState
    source: str
    path: bool
    in_place: bool = False
    submitted: bool = False
    ignored: int = 0
    layout: str | None = None
    has_split: bool = False
    digest: str | None = None
    error: ErrorInfo | None = None

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        listed = self.in_lists().model_dump_json().encode()
        waits = self.submitted and self.state in {DatasetState.QUEUED, DatasetState.READING}
        return Brief(self.id, self.created_at, self.state, waits, self.id, listed)


class ArchitectureStatus(_Part):
    """A row of the catalogue, and whether its weights can be had now and from where."""

    id: str
    input_size: int
    feature_size: int
    parameters: int
    multiply_adds: int
    available: bool
    source: str | None
    detail: str


class VersionStatus(_Part):
    version: int
    architecture: str
    labels: list[str]
    metrics: dict[str, Any]
    training_id: str
    created_at: datetime


class DamagedVersion(_Part):
    """A version whose manifest can't be read, and why."""

    version: int
    reason: str


class ModelStatus(_Part):
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


class PinRequest(_Request):
    version: int | None = Field(description="Version to serve from now on; null un-pins.", ge=1)


class About(_Part):
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
