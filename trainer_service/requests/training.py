"""The fields of a request for a training, with their defaults and limits."""

from collections.abc import Mapping
from typing import Annotated, Literal, LiteralString, Self

from pydantic import BeforeValidator, Field, Tag, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.identifiers import ModelName
from trainer_service.requests.part import RequestPart, expected, kind_of
from trainer_service.requests.reading import ReadingRequest
from trainer_service.requests.tune import CHANGES, Change, Tune

DEFAULT_ARCHITECTURE = "mobilenet_v2"

#: The layers of a backbone whose pooled outputs are the features: the last one, the last three, or
#: all that the catalogue lists.
TapSet = Literal["last", "late", "all"]
#: What a request may say of them: with auto, what answers the validation images best is taken.
Taps = Literal["auto", "last", "late", "all"]
HeadKind = Literal["regression", "layers"]

#: Whether the version that a training publishes is served, see `phases.publish.promotion`.
Promote = Literal["auto", "always", "if_better", "never"]


class DatasetPath(RequestPart):
    """A folder or archive below the datasets directory of the trainer's machine."""

    path: str = Field(min_length=1, max_length=4096, examples=["pets"])


class DatasetRequest(DatasetPath):
    """A dataset to be made, of a path or of an upload."""

    reading: ReadingRequest = Field(default_factory=ReadingRequest)


class UploadedDataset(RequestPart):
    """The fields of a request that uploads a dataset."""

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
    """Return the tag of a dataset's type, as `kind_of`; an object without a path has none."""
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


def _number(value: object) -> object:
    """Return the number of a form's text; anything else as it is."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _changes(value: object) -> object:
    """Return a list of changes, each once and in the usual order; a form has `crop,colour`."""
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(name in CHANGES for name in names):
        return names
    return [change for change in CHANGES if change in names]


_Views = Annotated[Literal[1, 2, 4], BeforeValidator(_number)]
_Augment = Annotated[list[Change], Field(min_length=1), BeforeValidator(_changes)]

#: The fields that only a head of layers has.
LAYERS_FIELDS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "learning_rate_schedule",
    "optimizer",
    "dropout",
    "hidden_units",
    "early_stopping",
)


#: The type of an error that a form's further fields may take away.
INCOMPLETE = "incomplete"


def _refused(
    fields: Mapping[str, object], words: LiteralString, kind: LiteralString = "together"
) -> ValidationError:
    """Return the error of fields that don't go with others, under the names of these fields."""
    error = PydanticCustomError(kind, words)
    faults = [
        InitErrorDetails(type=error, loc=(name,), input=value) for name, value in fields.items()
    ]
    return ValidationError.from_exception_data(TrainingRequest.__name__, faults)


class CommonFields(RequestPart):
    """The fields that a training and a comparison of several have in common."""

    model: ModelName | None = Field(
        default=None,
        description="Name of the model to publish; by default that of the folder or archive with "
        "the images.",
    )
    dataset: _Dataset = Field(
        default=None,
        description="Id of a dataset, or {'path': …} below the trainer's datasets directory.",
    )
    reading: ReadingRequest | None = Field(
        default=None, description="How the dataset is read; left out, the reader decides."
    )
    views: _Views = Field(
        default=1,
        description="How many views of each training image a regression may learn from: 2 or 4 "
        "are the image and changed copies of it, for as many times the work of the backbone. They "
        "are used if they lower the validation loss.",
    )
    augment: _Augment = Field(
        default=list(CHANGES),
        description="What the further views may change: mirror, crop, colour.",
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


class TrainingRequest(CommonFields):
    """The fields of a training; all but the images have defaults."""

    architecture: str = Field(
        default=DEFAULT_ARCHITECTURE,
        max_length=64,
        description="If this is left out and the weights of the default can't be had, the best "
        "architecture whose weights can be had is taken.",
    )
    taps: Taps = Field(
        default="auto",
        description="The layers of the backbone whose outputs become the features: the last, the "
        "last three (late) or all of the catalogue's; auto takes what answers the validation "
        "images best.",
    )
    head: HeadKind = Field(
        default="regression",
        description="regression: a logistic regression, which is solved in seconds. layers: "
        "dropout and dense layers, which are trained for epochs; also chosen by any field that "
        "only they have.",
    )
    tune: Tune = Field(
        default="off",
        description="tail: also train the last layers of the backbone, from the solved head on; "
        "the result is published if it answers the validation images better. An object says "
        "which layers, and how.",
    )
    promote: Promote = Field(
        default="auto",
        description="Whether the new version is served. auto: unless its labels differ from those "
        "of the served version, or it does no better on its test images than always answering the "
        "commonest label. if_better: as auto, and only if its log loss is not worse on the test "
        "images that both have kept out. always, or never: it is published only.",
    )

    @property
    def computed_taps(self) -> TapSet:
        """The taps whose features are computed; those that the head uses are among them."""
        return "all" if self.taps == "auto" else self.taps

    @model_validator(mode="after")
    def _choose_head(self) -> Self:
        """Take `layers` if only the fields of layers say so; refuse them beside `regression`."""
        given = [name for name in LAYERS_FIELDS if name in self.model_fields_set]
        if "head" not in self.model_fields_set:
            self.head = "layers" if given else "regression"
        elif self.head == "regression":
            defaults = type(self).model_fields
            changed = {
                name: getattr(self, name)
                for name in given
                if getattr(self, name) != defaults[name].get_default(call_default_factory=True)
            }
            if changed:
                words = "only a head of layers has this. Send head: layers, or leave it out"
                raise _refused(changed, words)
        return self

    @model_validator(mode="after")
    def _tune_from_a_solved_head(self) -> Self:
        if self.tune == "off" or self.head == "regression":
            return self
        chosen_by = [name for name in LAYERS_FIELDS if name in self.model_fields_set]
        choose = "chooses" if len(chosen_by) == 1 else "choose"
        why = f" ({', '.join(chosen_by)} {choose} it)" if chosen_by else ""
        raise ValueError(
            f"tune begins with a solved head: expected head: regression beside it. Received: "
            f"head: layers{why}. Epochs and the learning rate of tuning are tune.epochs and "
            "tune.learning_rate"
        )

    @model_validator(mode="after")
    def _views_go_together(self) -> Self:
        """Refuse views that would be ignored, or would look alike."""
        if self.views == 1 and self.augment != list(CHANGES):
            words = (
                "says what further views may change, and with views: 1 there are none. Send "
                "views: 2 or 4, or leave it out"
            )
            raise _refused({"augment": self.augment}, words, INCOMPLETE)
        if self.views > 2 and self.augment == ["mirror"]:  # noqa: PLR2004 - an image and its mirror
            words = "mirror alone gives two views. Send views: 2, or allow crop or colour"
            raise _refused({"augment": self.augment}, words)
        if self.views > 1 and self.head == "layers":
            words = (
                "only a regression has this: it is solved with and without views, to tell whether "
                "they help. Send views: 1, or no head: layers and none of the fields that layers "
                "have"
            )
            raise _refused({"views": self.views}, words)
        return self

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
