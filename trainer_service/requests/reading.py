"""What a user decides about how a dataset is read, instead of leaving it to the reader."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_Name = Annotated[str, Field(min_length=1, max_length=1024)]
#: What may say the labels of a dataset.
LabelSource = Literal["folders", "file names", "table"]
Part = Literal["train", "validation", "test", "none"]


class ColumnsRequest(BaseModel):
    """Columns of a table, by their names, or by their numbers as in `column 3`."""

    model_config = ConfigDict(extra="forbid")

    image: _Name | None = None
    label: _Name | None = None
    split: _Name | None = None


class ReadingRequest(BaseModel):
    """A user's decisions about how a dataset is read; the reader decides what is left out.

        {"labels": "folders", "level": 2, "ignore": ["extra"]}
        {"table": "train.csv", "columns": {"label": "species"}}
        {"confirm": true}

    Attributes:
        labels: where labels are found.
        level: which folder of an image is its label: 1 is the first of its path, -1 the one that
            it lies in.
        table: the table that labels the images, by its path in the dataset.
        columns: its columns.
        ignore: folders and files that are left out, by their paths or names.
        splits: which part of the split folders are, by their paths or names, or values of the
            column of the split; `none` leaves out what they hold.
        rename: new names for labels; labels of one name are merged.
        merge_alike: whether labels that differ in case and spaces only are one.
        confirm: that a doubtful reading is right.
    """

    model_config = ConfigDict(extra="forbid")

    labels: LabelSource | None = None
    level: int | None = Field(default=None, ge=-32, le=33)
    table: _Name | None = None
    columns: ColumnsRequest = Field(default_factory=ColumnsRequest)
    ignore: list[_Name] = Field(default_factory=list, max_length=1000)
    splits: dict[_Name, Part] = Field(default_factory=dict, max_length=1000)
    rename: dict[_Name, _Name] = Field(default_factory=dict, max_length=10_000)
    merge_alike: bool = True
    confirm: bool = False

    @field_validator("level", mode="before")
    @classmethod
    def _takes_no_truth_value(cls, value: object) -> object:
        """Refuse true and false, which pydantic takes for 1 and 0."""
        if isinstance(value, bool):
            raise ValueError("Input should be neither true nor false")  # noqa: TRY004 - pydantic's own
        return value

    @property
    def parts(self) -> dict[str, Literal["train", "validation", "test"]]:
        """The folders and values that the user has assigned to a part of the split."""
        return {key.strip("/"): part for key, part in self.splits.items() if part != "none"}

    @property
    def without_labels(self) -> list[str]:
        """The folders, and values of the column of the split, whose images are left out."""
        return [key for key, part in self.splits.items() if part == "none"]

    def as_asked(self) -> str:
        """Return the decisions as JSON, without what is left to the reader."""
        return self.model_dump_json(exclude_defaults=True)
