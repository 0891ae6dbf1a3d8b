"""What the query of a predict request may say."""

from pydantic import BaseModel, Field

from shared.models.manifest import LONGEST_LABEL


class PredictQuery(BaseModel):
    """What is asked of each prediction, and of which model."""

    model: str | None = Field(
        default=None, description="May be left out while only one model is served."
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
