"""What a request may say about fine-tuning."""

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from trainer_service.requests.part import RequestPart, expected, kind_of

Change = Literal["mirror", "crop", "colour"]
#: In the order in which requests and records name them.
CHANGES: tuple[Change, ...] = get_args(Change)


def _kind_of_augment(value: object) -> str | None:
    return "(list)" if isinstance(value, list | tuple) else kind_of(value)


_Augment = Annotated[
    Annotated[Literal["auto", "none"], Tag("(text)")]
    | Annotated[list[Change], Field(min_length=1, max_length=3), Tag("(list)")],
    Discriminator(
        _kind_of_augment,
        custom_error_type="kind",
        custom_error_message="Input should be 'auto', 'none', or a list of mirror, crop and colour",
    ),
]


class TuneRequest(RequestPart):
    """How the last layers of the backbone are trained on, from the solved head.

    {"from": "block_12_add"}
    {"blocks": 3, "views": 10, "epochs": 12}
    {"augment": ["crop", "colour"]}
    """

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    cut: str | None = Field(
        default=None,
        alias="from",
        min_length=1,
        max_length=128,
        description="The layer behind which everything is trained, or pixels: all of the network.",
    )
    blocks: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="How many of the last blocks are trained, instead of from. If neither is "
        "given, those of tail.",
    )
    epochs: int = Field(
        default=8, ge=1, le=200, description="How often each image is seen at most."
    )
    learning_rate: float = Field(
        default=1e-4, gt=0, le=1, description="The highest one of the backbone's layers."
    )
    head_learning_rate: float = Field(
        default=3e-5, gt=0, le=1, description="The highest one of the head."
    )
    views: int = Field(
        default=6,
        ge=1,
        le=16,
        description="How many views of each image are computed; each epoch sees another one.",
    )
    augment: _Augment = Field(
        default="auto",
        description="How views may differ from the image. auto: in whatever leaves the head's "
        "answers to the validation images nearly as good as they are.",
    )
    patience: int = Field(
        default=5,
        ge=1,
        le=200,
        description="It ends after this many epochs without a better validation loss.",
    )

    @field_validator("augment", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take the names of a form, which has no lists: `mirror,crop`."""
        if isinstance(value, str) and value not in {"auto", "none"}:
            return [name.strip() for name in value.split(",")]
        return value

    @model_validator(mode="after")
    def _has_one_beginning(self) -> Self:
        if self.cut is not None and self.blocks is not None:
            raise ValueError(
                "`from` and `blocks` both say where the tuned layers begin: expected one of them"
            )
        return self


Tune = Annotated[
    Annotated[Literal["off", "tail"], Tag("(text)")] | Annotated[TuneRequest, Tag("(object)")],
    expected("Input should be 'off', 'tail', or an object with from or blocks, epochs, views …"),
]
