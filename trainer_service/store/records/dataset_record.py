"""The record of a dataset."""

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator

from trainer_service.reading_request import ReadingRequest
from trainer_service.store.records.interpretation import Interpretation
from trainer_service.store.records.parts import BaseRecord, Brief, ErrorInfo, Found


class DatasetState(StrEnum):
    QUEUED = "queued"
    READING = "reading"
    READY = "ready"
    FAILED = "failed"


class DatasetRecord(Interpretation, Found, BaseRecord):
    """A set of labelled images.

    Attributes:
        source: the name of the uploaded archive, or the path below the datasets directory.
        path: whether `source` is a path.
        in_place: whether the images stay in the folder `source` instead of in the store.
        submitted: whether it is to be read by itself, not only when a training needs it.
        reading: what the user has decided on how it is read.
    """

    state: DatasetState
    source: str
    path: bool
    in_place: bool = False
    submitted: bool = False
    reading: ReadingRequest = Field(default_factory=ReadingRequest)
    ignored: int = 0
    has_split: bool = False
    digest: str | None = None
    error: ErrorInfo | None = None

    @field_validator("layout", mode="before")
    @classmethod
    def _take_the_word(cls, layout: object) -> object:
        """Take the one word that was all that earlier records had."""
        kinds = {"folders": "folders", "prefix": "prefix", "csv": "table"}
        return {"kind": kinds[layout]} if isinstance(layout, str) and layout in kinds else layout

    def interpret(self, said: Interpretation) -> None:
        """Write down how it was read."""
        for name in Interpretation.model_fields:
            setattr(self, name, getattr(said, name))

    def in_lists(self) -> Self:
        """Return what lists show."""
        little = {"notes": [], "unused": [], "readings": [], "reading": ReadingRequest()}
        return super().in_lists().model_copy(update=little)

    def brief(self) -> Brief:
        """Return what is kept in memory of it."""
        listed = self.in_lists().model_dump_json().encode()
        waits = self.submitted and self.state in {DatasetState.QUEUED, DatasetState.READING}
        return Brief(self.id, self.created_at, self.state, waits, self.id, listed)
