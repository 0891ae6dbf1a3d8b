"""What the records of trainings and datasets have in common."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

#: A record names at most so many rejected files; `GET /v1/datasets/{id}/rejected` has them all.
NAMED_REJECTED = 20
#: With more labels, lists tell nothing of each, and an evaluation of each is the report's alone.
FEW_LABELS = 64
_LONGEST_NAME = 200
_LONGEST_DETAIL = 300
_LONGEST_ERROR = 4000

#: A verdict, and what it was called in records and events of before.
TWO_LABELS: Final = "same image under two labels"
_TWO_LABELS_BEFORE = "same picture under two labels"


def shortened(text: str, most: int) -> str:
    """Return at most `most` characters of a text: its beginning and its end."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _renamed(value: Any) -> Any:
    """Return a text, or an object with such names, with verdicts as they are called today."""
    if isinstance(value, str):
        return value.replace(_TWO_LABELS_BEFORE, TWO_LABELS)
    if isinstance(value, dict):
        return {_renamed(name): count for name, count in value.items()}
    return value


#: Before the type of a field that holds verdicts: those of before are read as those of today.
TODAYS_VERDICTS = BeforeValidator(_renamed)


class RecordPart(BaseModel):
    """A part of a record: what a later release has added to it is ignored."""

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


class BaseRecord(RecordPart):
    """What lies in the store under an id of its own."""

    id: str
    created_at: AwareDatetime

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        raise NotImplementedError


class RejectedImage(RecordPart):
    name: str
    label: str | None = None
    verdict: Annotated[str, TODAYS_VERDICTS]
    detail: str = ""

    def shortened(self) -> Self:
        """Return it with names that fit into a record."""
        short = {
            "name": shortened(self.name, _LONGEST_NAME),
            "label": self.label and shortened(self.label, _LONGEST_NAME),
            "detail": shortened(self.detail, _LONGEST_DETAIL),
        }
        return self.model_copy(update=short)


class Found(RecordPart):
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
    verdicts: Annotated[dict[str, int], TODAYS_VERDICTS] = Field(default_factory=dict)

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
        """Fill in the counts that earlier records did not have."""
        if self.labels and not self.label_count:
            self.label_count = len(self.labels)
        if self.rejected and not self.rejected_count:
            self.reject(self.rejected, dict(Counter(image.verdict for image in self.rejected)))
        return self


class ErrorInfo(RecordPart):
    """What went wrong; `transient` if it was the machine, so that it can be tried again."""

    type: str
    detail: Annotated[str, AfterValidator(partial(shortened, most=_LONGEST_ERROR))]
    transient: bool = False
