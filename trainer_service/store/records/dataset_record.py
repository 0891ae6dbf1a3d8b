"""The record of a dataset."""

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator

from shared.identifiers import Id
from trainer_service.requests.reading import ReadingRequest
from trainer_service.store.records.interpretation import Interpretation
from trainer_service.store.records.parts import (
    BaseRecord,
    Brief,
    DatasetCounts,
    DoubleCount,
    ErrorInfo,
    RecordPart,
)


class DatasetState(StrEnum):
    """The state of a dataset; the last two are final, unless a transient failure is retried."""

    QUEUED = "queued"
    READING = "reading"
    READY = "ready"
    FAILED = "failed"

    @property
    def unread(self) -> bool:
        """Whether the dataset is yet to be read; a failed one is not, unless it is queued again."""
        return self in {DatasetState.QUEUED, DatasetState.READING}


class RefusedReading(RecordPart):
    """What a user has decided on how a dataset is read, and that does not fit it.

    Attributes:
        reading: what was decided.
        error: why it does not fit.
        revision: the `DatasetRecord.revision` that it had.
    """

    reading: ReadingRequest
    error: ErrorInfo
    revision: int


class DatasetRecord(Interpretation, DatasetCounts, BaseRecord):
    """A set of labelled images.

    Attributes:
        source: the name of the uploaded archive, or the path below the datasets directory.
        path: whether `source` is a path.
        in_place: whether the images stay in the folder `source` instead of in the store.
        submitted: whether it was submitted on its own, and so is read without a training on it.
        ignored: how many files are not images and were ignored.
        has_split: whether the dataset brings its own split into train, validation and test.
        doubles: how many of its images are nearly equal; None if it was not looked for them.
        digest: SHA-256 over the used images with their labels and splits.
        reading: the user's choices of how it is read.
        reading_before: those by which its images are labelled, while others are tried.
        refused: the last ones that were tried, if they did not fit.
        revision: how often `reading` has changed.
        parent: the dataset that this one was made of, by corrections or additions.
        root: the first dataset of that line; None if this is it.
        owners: of a dataset with a parent, those that keep the files of its images; each with its
            path below the datasets directory, or None if the files are in the store.
        corrected: how many images have another label than in the first dataset, or are left out.
        added: how many of its images the first dataset lacks.
        given_label: the label of all images that it adds to its parent, if the request named one.
    """

    state: DatasetState
    source: str
    path: bool
    in_place: bool = False
    submitted: bool = False
    reading: ReadingRequest = Field(default_factory=ReadingRequest)
    reading_before: ReadingRequest | None = None
    refused: RefusedReading | None = None
    revision: int = 0
    parent: Id | None = None
    root: Id | None = None
    owners: dict[Id, str | None] = Field(default_factory=dict)
    corrected: int = 0
    added: int = 0
    given_label: str | None = None
    ignored: int = 0
    has_split: bool = False
    doubles: DoubleCount | None = None
    digest: str | None = None
    error: ErrorInfo | None = None

    @field_validator("layout", mode="before")
    @classmethod
    def _take_the_word(cls, layout: object) -> object:
        """Read the single word that records of earlier releases have for it."""
        kinds = {"folders": "folders", "prefix": "file names", "csv": "table"}
        return {"kind": kinds[layout]} if isinstance(layout, str) and layout in kinds else layout

    @property
    def line(self) -> str:
        """The first dataset of its line, which all that were made of it have in common."""
        return self.root or self.id

    def interpret(self, said: Interpretation) -> None:
        """Set the fields that say how it was read."""
        for name in Interpretation.model_fields:
            setattr(self, name, getattr(said, name))

    def as_read(self) -> Interpretation:
        """Return how it was read, for a dataset that is made of it and can't be read otherwise."""
        said = {name: getattr(self, name) for name in Interpretation.model_fields}
        return Interpretation(**said | {"readings": []})

    def ask(self, reading: ReadingRequest) -> None:
        """Have it read as a user has decided; how it was read is kept until that is done."""
        if self.state == DatasetState.READY:
            self.reading_before = self.reading
        self.reading, self.refused = reading, None
        self.revision += 1
        self.state, self.error, self.submitted = DatasetState.QUEUED, None, True

    def refuse(self, error: ErrorInfo) -> None:
        """Go back to the reading before the one that was tried, or fail if there is none."""
        if self.reading_before is None:
            self.state, self.error = DatasetState.FAILED, error
            return
        self.refused = RefusedReading(reading=self.reading, error=error, revision=self.revision)
        self.reading, self.reading_before = self.reading_before, None
        self.revision += 1
        self.state, self.error = DatasetState.READY, None

    def in_lists(self) -> Self:
        """Return what lists show."""
        little = {
            "notes": [],
            "unused": [],
            "readings": [],
            "reading": ReadingRequest(),
            "reading_before": None,
            "refused": None,
            "owners": {},
        }
        return super().in_lists().model_copy(update=little)

    def brief(self) -> Brief:
        """Return the summary that the index keeps in memory."""
        listed = self.in_lists().model_dump_json().encode()
        waits = self.submitted and self.state.unread
        return Brief(self.id, self.created_at, self.state, waits, self.id, listed)
