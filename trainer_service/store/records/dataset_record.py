"""The record of a dataset."""

from enum import StrEnum

from trainer_service.store.records.parts import BaseRecord, Brief, DatasetCounts, ErrorInfo


class DatasetState(StrEnum):
    """The state of a dataset; the last two are final, unless a transient failure is retried."""

    QUEUED = "queued"
    READING = "reading"
    READY = "ready"
    FAILED = "failed"


class DatasetRecord(DatasetCounts, BaseRecord):
    """A set of labelled images.

    Attributes:
        source: the name of the uploaded archive, or the path below the datasets directory.
        path: whether `source` is a path.
        in_place: whether the images stay in the folder `source` instead of in the store.
        submitted: whether it was submitted on its own, and so is read without a training on it.
        ignored: how many files are not images and were ignored.
        layout: how the labels were found, e.g. in the names of folders.
        has_split: whether the dataset brings its own split into train, validation and test.
        digest: SHA-256 over the used images with their labels and splits.
    """

    state: DatasetState
    source: str
    path: bool
    in_place: bool = False
    submitted: bool = False
    ignored: int = 0
    layout: str | None = None
    has_split: bool = False
    digest: str | None = None
    error: ErrorInfo | None = None

    def brief(self) -> Brief:
        """Return the summary that the index keeps in memory."""
        listed = self.in_lists().model_dump_json().encode()
        waits = self.submitted and self.state in {DatasetState.QUEUED, DatasetState.READING}
        return Brief(self.id, self.created_at, self.state, waits, self.id, listed)
