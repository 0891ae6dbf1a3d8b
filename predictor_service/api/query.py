"""What the query of a predict request may say."""

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, Field

from shared.errors import InvalidRequest
from shared.identifiers import is_alias
from shared.models.manifest import LONGEST_LABEL
from shared.models.model_store import VERSION


class Wanted(NamedTuple):
    """The version that a request asks for.

    Attributes:
        model: the name of the model; None: the only one that is served.
        version: the number or the alias of the version; None: the served one.
    """

    model: str | None
    version: int | str | None


def _require_version(text: str) -> str:
    if not VERSION.fullmatch(text) and not is_alias(text):
        raise ValueError("Input should be the number or the alias of a version")
    return text


Version = Annotated[str, AfterValidator(_require_version)]


class PredictQuery(BaseModel):
    """What is asked of each prediction, and of which model."""

    model: str | None = Field(
        default=None,
        description="May be left out while only one model is served. `pets@3` and `pets@champion` "
        "also choose the version.",
    )
    version: Version | None = Field(
        default=None,
        max_length=64,
        description="The number or the alias of the version that should answer: the served one if "
        "left out. Another one is loaded first.",
    )
    top: int = Field(default=5, ge=1, le=100, description="How many labels to name.")
    false_alarms: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The share of pictures of the training's kind that may be called unknown: "
        "0.05 if left out.",
    )
    coverage: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Also answer as many `labels` as it takes for the right one to be among them "
        "this often.",
    )
    explain: str | None = Field(
        default=None,
        max_length=LONGEST_LABEL,
        description="Also answer which places of each picture speak for a label: for that of this "
        "name, or, with `top`, for the likeliest one.",
    )

    @property
    def wanted(self) -> Wanted:
        """The version that the request asks for.

        Raises:
            InvalidRequest: `model` names a version that is none, or `version` is there as well.
        """
        if self.model is None or "@" not in self.model:
            return Wanted(self.model, _number(self.version))
        model, _, version = self.model.partition("@")
        if self.version is not None:
            raise InvalidRequest(
                f"version: expected a version once, beside the model or in it. Received: "
                f"{self.version!r} and {self.model!r}."
            )
        try:
            return Wanted(model, _number(_require_version(version)))
        except ValueError as error:
            raise InvalidRequest(f"model: {error} after @. Received: {self.model!r}.") from None


def _number(version: str | None) -> int | str | None:
    return int(version) if version and VERSION.fullmatch(version) else version
