"""The fields of a request for a training, with their defaults and limits."""

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    Tag,
    model_validator,
)

from shared.identifiers import ModelName
from trainer_service.reading_request import ReadingRequest
from trainer_service.request_part import RequestPart, expected, kind_of

DEFAULT_ARCHITECTURE = "mobilenet_v2"


class DatasetPath(RequestPart):
    """A folder or archive below the datasets directory of the trainer's machine."""

    path: str = Field(min_length=1, max_length=4096, examples=["pets"])


class DatasetRequest(DatasetPath):
    """A dataset to be made, of a path or of an upload."""

    reading: ReadingRequest = Field(default_factory=ReadingRequest)


class UploadedDataset(RequestPart):
    """What may be said of an uploaded dataset."""

    reading: ReadingRequest = Field(default_factory=ReadingRequest)


class SplitFractions(RequestPart):
    """The fractions of the images held out from training, unless the dataset brings a split."""

    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self


class EarlyStopping(RequestPart):
    """Ends the head phase when `metric` has not improved by `min_delta` for `patience` epochs."""

    metric: Literal["val_loss", "val_accuracy"] = "val_loss"
    min_delta: float = Field(default=0.0, ge=0)
    patience: int = Field(default=8, ge=1, le=1000)


def _kind_of_dataset(value: object) -> str | None:
    """Return the same for a dataset; an object without a path is of no kind."""
    return None if isinstance(value, dict) and "path" not in value else kind_of(value)


_Stopping = Annotated[
    Annotated[EarlyStopping, Tag("(object)")] | Annotated[Literal["off"], Tag("(text)")],
    expected("Input should be 'off', or an object with metric, min_delta or patience"),
]
_Dataset = Annotated[
    Annotated[str, Tag("(text)")]
    | Annotated[DatasetPath, Tag("(object)")]
    | Annotated[None, Tag("(none)")],
    expected(
        "Input should be the id of a dataset as text, or {'path': …} below the datasets directory",
        _kind_of_dataset,
    ),
]


class TrainingRequest(RequestPart):
    """The fields of a training; all but the images have defaults."""

    model: ModelName = Field(default="default", description="Name of the model to publish.")
    architecture: str = Field(default=DEFAULT_ARCHITECTURE, max_length=64)
    dataset: _Dataset = Field(
        default=None,
        description="Id of a dataset, or {'path': …} below the trainer's datasets directory.",
    )
    reading: ReadingRequest | None = Field(
        default=None, description="How the dataset is read; left out, the reader decides."
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
    quantize: Literal["off", "int8"] = Field(
        default="off",
        description="int8: add a quantized graph, if it is faster and as accurate.",
    )
    split: SplitFractions = Field(default_factory=SplitFractions)
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="before")
    @classmethod
    def _rename_precision(cls, fields: object) -> object:
        """Accept `precision`, the former name of `quantize`, in requests and records."""
        former = {"auto": "off", "int8": "int8"}
        if not isinstance(fields, dict):
            return fields
        precision = fields.get("precision")
        if not isinstance(precision, str) or precision not in former:
            return fields
        others = {name: value for name, value in fields.items() if name != "precision"}
        return {"quantize": former[precision]} | others
