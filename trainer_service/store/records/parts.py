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

#: The most rejected files in a record; `GET /v1/datasets/{id}/rejected` lists them all.
NAMED_REJECTED = 20
#: With more labels than this, lists leave out the counts, and only reports have the metrics, of
#: each label.
FEW_LABELS = 64
_LONGEST_NAME = 200
_LONGEST_DETAIL = 300
_LONGEST_ERROR = 4000

#: A verdict, and its name in records and events of earlier releases.
TWO_LABELS: Final = "same image under two labels"
_TWO_LABELS_BEFORE = "same picture under two labels"


def shortened(text: str, most: int) -> str:
    """Return a text, or if it has more than `most` characters, its beginning and its end."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _renamed(value: Any) -> Any:
    """Return a text, or an object with such keys, with the current names of verdicts."""
    if isinstance(value, str):
        return value.replace(_TWO_LABELS_BEFORE, TWO_LABELS)
    if isinstance(value, dict):
        return {_renamed(name): count for name, count in value.items()}
    return value


#: The verdict on an image that somebody has looked at, and decided not to use.
LEFT_OUT_BY_CORRECTION = "left out by a correction"

#: For fields that hold verdicts: replaces the names of earlier releases.
TODAYS_VERDICTS = BeforeValidator(_renamed)


class RecordPart(BaseModel):
    """A part of a record; fields that a later release has added are ignored."""

    model_config = ConfigDict(extra="ignore")


class Brief(NamedTuple):
    """The summary of a record that the index keeps in memory.

    Attributes:
        id: the id of the record.
        created_at: when it was created.
        state: its `State` or `DatasetState`.
        waits: whether it waits or runs; unless it is a member, it then counts towards
            HEADSTART_MAX_OPEN_JOBS.
        dataset: the id of its dataset, "" if it has none; of a dataset, its own id.
        listed: the record as lists show it, as JSON: a few kilobytes at most.
        member: whether it is a part of a comparison, which lists it and counts for all of them.
    """

    id: str
    created_at: datetime
    state: str
    waits: bool
    dataset: str
    listed: bytes
    member: bool = False


class BaseRecord(RecordPart):
    """What the records of trainings and of datasets have in common."""

    id: str
    created_at: AwareDatetime

    def brief(self) -> Brief:
        """Return the summary that the index keeps in memory."""
        raise NotImplementedError


class RejectedImage(RecordPart):
    """A file that is not used, with its verdict and a sentence that explains it."""

    name: str
    label: str | None = None
    verdict: Annotated[str, TODAYS_VERDICTS]
    detail: str = ""

    def shortened(self) -> Self:
        """Return a copy whose long texts are shortened to fit into a record."""
        short = {
            "name": shortened(self.name, _LONGEST_NAME),
            "label": self.label and shortened(self.label, _LONGEST_NAME),
            "detail": shortened(self.detail, _LONGEST_DETAIL),
        }
        return self.model_copy(update=short)


class CrowdCount(RecordPart):
    """How many images of a dataset are nearly equal in groups too large to be kept together.

    Attributes:
        groups: how many such groups there are.
        images: how many images they have together.
        example: the names of two images of the first of these.
    """

    groups: int = 0
    images: int = 0
    example: Annotated[str, AfterValidator(partial(shortened, most=500))] = ""

    def with_more(self, more: "CrowdCount") -> "CrowdCount":
        """Return the count of these and of others together."""
        return CrowdCount(
            groups=self.groups + more.groups,
            images=self.images + more.images,
            example=self.example or more.example,
        )

    def in_words(self) -> str:
        """Return what was done about them, as a sentence."""
        of = "1 group" if self.groups == 1 else f"{self.groups} groups"
        return (
            f"{self.images} images look so much alike, in {of} of more than a hundred, that they "
            f"are treated like different ones: {self.example}, say. If they are frames of a "
            "recording, the test promises too much: leave most of them out, or bring a split."
        )


def crowd_of(names: list[str]) -> CrowdCount:
    """Return the count of one such group, by the names of its images; of none, if it has none."""
    return CrowdCount(groups=bool(names), images=len(names), example=" and ".join(names[:2]))


class DoubleCount(RecordPart):
    """How many used images of a dataset are nearly equal; a file beside the record lists them.

    Attributes:
        groups: how many groups of such images there are.
        images: how many images they have together.
        leaks: how many of the groups are in several parts of the split: of the one that the dataset
            brings, or, in the record of a training, of the one that it has.
        example: the names of two images of the first of these.
        crowds: those in groups that are too large to be kept together, which don't count above.
    """

    groups: int
    images: int
    leaks: int = 0
    crowds: CrowdCount = Field(default_factory=CrowdCount)
    example: Annotated[str, AfterValidator(partial(shortened, most=500))] = ""

    def in_words(self) -> str:
        """Return how many images there are, and in how many groups."""
        return f"{self.images} images in {self.groups} group{'s' if self.groups > 1 else ''}"


class DatasetCounts(RecordPart):
    """The content of a dataset in numbers, and the first few of its rejected files.

    Attributes:
        images: how many images are used; None until the dataset was read.
        labels: the number of images of each label; empty in lists if there are more than 64 labels.
        label_count: the number of labels.
        rejected: the first rejected files, at most 20; empty in lists.
        rejected_count: the number of rejected files.
        verdicts: the number of rejected files with each verdict.
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
        """Set the rejected files.

        Args:
            images: the rejected files, or the first `NAMED_REJECTED` of them.
            verdicts: the number of rejected files with each verdict.
        """
        self.rejected = [image.shortened() for image in images[:NAMED_REJECTED]]
        self.rejected_count = sum(verdicts.values())
        self.verdicts = verdicts

    def in_lists(self) -> Self:
        """Return a copy as lists show it."""
        few = self.label_count <= FEW_LABELS
        return self.model_copy(update={"rejected": [], "labels": self.labels if few else {}})

    @model_validator(mode="after")
    def _add_missing_counts(self) -> Self:
        """Fill in the counts that records of earlier releases lack."""
        if self.labels and not self.label_count:
            self.label_count = len(self.labels)
        if self.rejected and not self.rejected_count:
            self.reject(self.rejected, dict(Counter(image.verdict for image in self.rejected)))
        return self


class ErrorInfo(RecordPart):
    """An error; `transient` if the machine was at fault, so that another try may succeed."""

    type: str
    detail: Annotated[str, AfterValidator(partial(shortened, most=_LONGEST_ERROR))]
    transient: bool = False
