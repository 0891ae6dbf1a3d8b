"""The fields of a request for a comparison, and the trainings that follow from them."""

import json
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, Tag, ValidationError, model_validator

from shared.errors import InvalidRequest, first_fault
from trainer_service.requests.part import RequestPart, expected
from trainer_service.requests.training import (
    LAYERS_FIELDS,
    CommonFields,
    HeadKind,
    Taps,
    TrainingRequest,
)
from trainer_service.requests.tune import Tune

#: The most trainings of a comparison.
MOST_TRAININGS = 64
#: The most values of a list. More of them are refused without being multiplied first.
_MOST_VALUES = 64

#: The fields that a comparison may have lists of, beside the architectures.
VARIED = ("taps", "tune", "head")

T = TypeVar("T")


def _as_list(value: object) -> object:
    """Return the values of a form's text, `off,tail`, or of a single one, as a list."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    return [value] if isinstance(value, dict | RequestPart) else value


def _architectures(value: object) -> object:
    return value if value == "available" else _as_list(value)


def _kind(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return "(list)"
    return "(text)" if value == "available" else None


_Architecture = Annotated[str, Field(min_length=1, max_length=64)]
_Architectures = Annotated[
    Annotated[
        Annotated[list[_Architecture], Field(min_length=1, max_length=_MOST_VALUES)], Tag("(list)")
    ]
    | Annotated[Literal["available"], Tag("(text)")],
    expected("Input should be a list of architectures, or 'available'", _kind),
    BeforeValidator(_architectures),
]
_Values = Field(min_length=1, max_length=_MOST_VALUES)


class ComparisonRequest(CommonFields):
    """The fields of a comparison; all but the images have defaults.

    A training is made of each combination of the values of its lists.

    {"dataset": {"path": "pets"}, "architectures": ["mobilenet_v2", "vgg16"]}
    {"dataset": {"path": "pets"}, "architectures": ["mobilenet_v2"], "tune": ["off", "tail"]}
    """

    architectures: _Architectures = Field(
        default="available",
        description="The architectures to compare; available: all whose weights can be had.",
    )
    taps: Annotated[list[Taps], _Values, BeforeValidator(_as_list)] = Field(
        default=["auto"], description="As that of a training, or several to compare."
    )
    tune: Annotated[list[Tune], _Values, BeforeValidator(_as_list)] = Field(
        default=["off"], description="As that of a training, or several to compare."
    )
    head: Annotated[list[HeadKind], _Values, BeforeValidator(_as_list)] = Field(
        default=["regression"], description="As that of a training, or several to compare."
    )
    rounds: Literal["halving", "full"] = Field(
        default="halving",
        description="halving: all are first tried on at most 50 images of each label, and those "
        "that are clearly worse are not trained further. full: all are trained on all images.",
    )
    publish: Literal["none", "recommended", "best"] = Field(
        default="recommended",
        description="Which one is published as a version of the model at the end.",
    )
    promote: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether the version that is published is served, as that of a training. "
        "if_better is not offered: the trainings are compared with each other, not with the served "
        "version.",
    )

    @model_validator(mode="after")
    def _take_layers_if_only_they_have_a_field(self) -> Self:
        given = any(name in self.model_fields_set for name in LAYERS_FIELDS)
        if given and "head" not in self.model_fields_set:
            self.head = ["layers"]
        return self


def trainings_of(
    request: ComparisonRequest, architectures: Sequence[str]
) -> dict[str, TrainingRequest]:
    """Return the requests of the trainings of a comparison, each by a name of its own.

    Args:
        request: of the comparison.
        architectures: the ids of its architectures, each once.

    Raises:
        InvalidRequest: there are too many, or two values do not go together.
    """
    taps, tune, heads = _once(request.taps), _once(request.tune), _once(request.head)
    number = len(architectures) * len(taps) * len(tune) * len(heads)
    if number > MOST_TRAININGS:
        factors = f"{len(architectures)} architectures, {len(taps)} taps, {len(tune)} tune and "
        raise InvalidRequest(
            f"A comparison has at most {MOST_TRAININGS} trainings. Received: {number} "
            f"({factors}{len(heads)} head)"
        )
    common = {
        name: getattr(request, name)
        for name in (*CommonFields.model_fields, "promote")
        if name not in {"dataset", "reading"}
    }
    lists: dict[str, Sequence[object]] = {"taps": taps, "tune": tune, "head": heads}
    found: dict[str, TrainingRequest] = {}
    for architecture, *values in product(architectures, taps, tune, heads):
        fields = dict(zip(VARIED, values, strict=True))
        varied = {name: value for name, value in fields.items() if len(lists[name]) > 1}
        name = ", ".join([architecture, *(f"{key} {_said(one)}" for key, one in varied.items())])
        left_out = LAYERS_FIELDS if fields["head"] == "regression" else ()
        given = {key: value for key, value in common.items() if key not in left_out}
        found[name] = _training(name, {**given, **fields, "architecture": architecture})
    return found


def _training(name: str, fields: dict[str, Any]) -> TrainingRequest:
    try:
        return TrainingRequest(**fields)
    except ValidationError as error:
        raise InvalidRequest(f"{name} can't be trained: {first_fault(error)}") from None


def _once(values: Sequence[T]) -> list[T]:
    """Return the values without those that are equal to an earlier one."""
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _said(value: object) -> str:
    if isinstance(value, RequestPart):
        fields = value.model_dump(by_alias=True, exclude_defaults=True)
        return json.dumps(fields) if fields else "tail"
    return str(value)
