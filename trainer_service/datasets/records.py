"""What a dataset is once it has been read: one record per image, and their summary.

<directory>/images.jsonl            an `ImageRecord` a line, in the order of their names
<directory>/rejected.jsonl          a `RejectedFile` a line, of those and of what is no image
<directory>/images/<sha[:2]>/<sha>  the sound images of an archive; a folder's stay where they are
<directory>/others.json             what else was found: the names of other files; see `scan.found`
<directory>/tables.zip              the tables among these
<directory>/thumbnails              small copies of the large ones; see `thumbnails.store`
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shared.errors import first_fault
from shared.files import atomic_writer, is_fault_of_the_file, open_below
from trainer_service.errors import RecordCorrupt
from trainer_service.store.records.interpretation import Interpretation
from trainer_service.store.records.parts import TODAYS_VERDICTS

if TYPE_CHECKING:  # The trainer API knows these records, and has neither numpy nor Pillow.
    from shared.images.decoding import ImageLimits

RECORDS_FILE = "images.jsonl"
REJECTED_FILE = "rejected.jsonl"
IMAGES_FOLDER = "images"

# A million pictures with names of a megabyte each pack well, and unpack to a terabyte.
MAX_NAME = 1024
#: In so many folders, one in the other, may an image lie.
MAX_FOLDERS = 32

Split = Literal["train", "validation", "test"]
Verdict = Annotated[
    Literal[
        "used",
        "unreadable",
        "truncated",
        "too large",
        "duplicate",
        "same image under two labels",
        "unlabelled",
        "left out",
        "link",
        "missing",
    ],
    TODAYS_VERDICTS,
]


class DatasetLimits(NamedTuple):
    """What one dataset may hold: bytes once unpacked, files of any kind, and the largest image."""

    max_bytes: int
    max_files: int
    image: "ImageLimits"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image of a dataset. Those of all images are in memory at once, so they are small.

    `name` is what the image is called in its source, for people; `file` is where it lies, relative
    to the dataset's directory (archives) or to the source folder (folders), and empty if it was
    not kept. `sha256` is empty for an image too large to be read. `split` is the part that the
    source itself puts the image in; `width` and `height` are 0 and `format` is empty where unknown.
    `double_of` is the same, an image's `sha256`, for all images that are nearly equal; empty if
    there is no other.
    """

    name: str
    label: str
    split: Split | None
    sha256: str
    width: int
    height: int
    format: str
    bytes: int
    verdict: Verdict
    detail: str
    file: str
    double_of: str = ""


_IMAGE_RECORD = TypeAdapter(ImageRecord)


class RejectedFile(BaseModel):
    """An image that is not used, or that there should be and is not, and why."""

    name: str
    label: str
    verdict: Verdict
    detail: str


class Double(BaseModel):
    """An image that is nearly equal to another one.

    `split` is the part that the dataset itself puts it in, if it does.
    """

    name: str
    sha256: str
    label: str
    split: Split | None


class DoubleGroup(BaseModel):
    """Used images of a dataset that are nearly equal.

    Attributes:
        leak: whether the dataset puts them in several parts of the split.
    """

    images: list[Double]
    leak: bool


class DatasetSummary(BaseModel):
    """What was found; `images` and `labels` count the used ones, `ignored` files of no interest.

    `doubles` are the groups of used images that are nearly equal.

    `in_place` tells that the images are left where they are, in a folder.
    """

    images: int
    labels: dict[str, int]
    rejected: list[RejectedFile]
    ignored: int
    interpretation: Interpretation
    has_split: bool
    doubles: list[DoubleGroup]
    digest: str
    in_place: bool


def save_images(directory: Path, records: Iterable[ImageRecord]) -> None:
    with atomic_writer(directory / RECORDS_FILE) as file:
        for record in records:
            file.write(_IMAGE_RECORD.dump_json(record) + b"\n")


def save_rejected(directory: Path, rejected: Iterable[RejectedFile]) -> None:
    with atomic_writer(directory / REJECTED_FILE) as file:
        for image in rejected:
            file.write(image.model_dump_json().encode() + b"\n")


def load_images(directory: Path) -> list[ImageRecord]:
    """Return the records of every image of a dataset, the rejected ones too.

    Raises:
        RecordCorrupt: they are damaged.
    """
    return list(iterate_images(directory))


def iterate_images(directory: Path) -> Iterator[ImageRecord]:
    with records_judged(directory), open_below(directory, RECORDS_FILE) as file:
        for line in file:
            yield parse_image(line)


def parse_image(line: bytes) -> ImageRecord:
    """Return the record of an image from its line in `images.jsonl`.

    Raises:
        ValidationError: it is damaged; see `records_judged`.
    """
    return _IMAGE_RECORD.validate_json(line)


@contextmanager
def records_judged(directory: Path) -> Iterator[None]:
    """Turn what is wrong with the records of a dataset's images into RecordCorrupt."""
    try:
        yield
    except ValidationError as error:
        raise records_corrupt(directory, f"it can't be read: {first_fault(error)}") from None
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise records_corrupt(directory, f"it can't be read: {error.strerror}") from None


def records_corrupt(directory: Path, reason: str) -> RecordCorrupt:
    return RecordCorrupt(
        f"datasets/{directory.name}/{RECORDS_FILE} is damaged: {reason}. "
        "Submit what the dataset was made of again."
    )
