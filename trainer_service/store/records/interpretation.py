"""How a dataset was read: where its labels come from, and what is doubtful about that."""

from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from trainer_service.requests.reading import LabelSource, ReadingRequest
from trainer_service.store.records.parts import RecordPart, shortened

#: A record names at most this many folders, tables or values that are parts of the split.
MOST_PARTS = 100

# Names of files, columns and labels come from the dataset, so they may be of any length.
_Text = Annotated[str, AfterValidator(partial(shortened, most=1000))]
_Name = Annotated[str, AfterValidator(partial(shortened, most=200))]
_Title = Annotated[str, AfterValidator(partial(shortened, most=60))]


def _todays_kind(value: object) -> object:
    """Return a kind of layout by the name that it has today."""
    return "file names" if value == "prefix" else value


class Layout(RecordPart):
    """Where the labels of a dataset come from.

    Attributes:
        kind: what says the labels, in the words of `ReadingRequest.labels`.
        text: the same in words, with an example.
        level: which folder of an image's path is its label, 1 for the first; None if that differs.
        tables: the tables that hold labels.
        image_column: the column that names images.
        label_columns: the column of the labels; several if each is a label.
        split_column: the column that names the part of the split.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    kind: Annotated[LabelSource, BeforeValidator(_todays_kind)]
    text: _Text = ""
    level: int | None = None
    tables: list[_Name] = Field(default_factory=list)
    image_column: _Name | None = None
    label_columns: list[_Name] = Field(default_factory=list)
    split_column: _Name | None = None


class ReadingNote(RecordPart):
    """What a user should know about how a dataset was read.

    Attributes:
        kind: `doubt` if the reading may be wrong, `left out` for images that are not used, `merged`
            for labels that were merged, `guess` for what was guessed, `doubles` for images that are
            nearly equal.
        text: what it is, in words.
    """

    kind: Literal["doubt", "left out", "merged", "guess", "doubles"]
    text: _Text


class UnusedFile(RecordPart):
    """A file that is not used, although it may say something about the images, such as a table.

    Attributes:
        name: its path in the dataset.
        columns: the names of its columns, if it is a table.
        reason: why it is not used.
    """

    name: _Name
    columns: list[_Title] = Field(default_factory=list)
    reason: _Text


class PossibleReading(RecordPart):
    """Another way to read a dataset: what to send as `reading`, and what that gives."""

    reading: ReadingRequest
    text: _Text
    images: int
    labels: int


class Interpretation(RecordPart):
    """How a dataset was read.

    Attributes:
        layout: where the labels come from.
        splits: the folders, tables or values of a column that are parts of the split, the first
            100; None for those whose images are left out.
        doubt: why nothing is trained on it until the reading is confirmed; empty if it may be.
    """

    layout: Layout | None = None
    splits: dict[_Name, str | None] = Field(default_factory=dict)
    notes: list[ReadingNote] = Field(default_factory=list)
    unused: list[UnusedFile] = Field(default_factory=list)
    readings: list[PossibleReading] = Field(default_factory=list)
    doubt: _Text = ""
