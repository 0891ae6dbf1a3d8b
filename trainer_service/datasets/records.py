"""What a dataset is once it has been read: one record per image, and their summary.

<directory>/images.jsonl            an `ImageRecord` a line, in the order of their names
<directory>/rejected.jsonl          a `RejectedFile` a line, of those and of what is no image
<directory>/images/<sha[:2]>/<sha>  the sound images of an archive; a folder's stay where they are
<directory>/others.json             what else was found: the names of other files; see `scan.found`
<directory>/tables.zip              the tables among these
<directory>/thumbnails              small copies of the large ones; see `thumbnails.store`
<directory>/looks                   what all sound images look like; see `scan.looks`
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shared.errors import first_fault
from shared.files import atomic_writer, is_fault_of_the_file, open_below
from trainer_service.errors import RecordCorrupt
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.interpretation import Interpretation
from trainer_service.store.records.lists import save_list
from trainer_service.store.records.parts import (
    NAMED_REJECTED,
    TODAYS_VERDICTS,
    CrowdCount,
    DoubleCount,
    RejectedImage,
)

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
        "left out by a correction",
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
#: How the field `file` of a record begins in its line, and what it is if no file was kept.
_FILE_KEY = ',"file":"'
_NO_FILE = b',"file":""'


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


def digest_of(used: Iterable[ImageRecord]) -> str:
    """Hash what is learnt from: the pictures, their labels and their split, not their names."""
    digest = hashlib.sha256()
    for sha256, label, split in sorted((r.sha256, r.label, r.split or "") for r in used):
        digest.update(f"{sha256} {split} {label}\n".encode())
    return digest.hexdigest()


def count_doubles(groups: list[DoubleGroup], crowds: CrowdCount) -> DoubleCount:
    """Return what the record of a dataset says of its near doubles."""
    leaks = [group for group in groups if group.leak]
    return DoubleCount(
        groups=len(groups),
        images=sum(len(group.images) for group in groups),
        leaks=len(leaks),
        example=_example(leaks[0]) if leaks else "",
        crowds=crowds,
    )


def _example(leak: DoubleGroup) -> str:
    """Return the names of two images of a group that are in different parts."""
    first, *others = leak.images
    other = next(one for one in others if (one.split or "train") != (first.split or "train"))
    return " and ".join(f"{one.name} ({one.split or 'train'})" for one in (first, other))


class DatasetSummary(BaseModel):
    """What was found; `images` and `labels` count the used ones, `ignored` files of no interest.

    `doubles` are the groups of used images that are nearly equal; None if it was not looked for
    them. `crowds` are those that are too large. `in_place` tells that the images are left where
    they are, in a folder. `corrected` and `added` are those of the dataset's record.
    """

    images: int
    labels: dict[str, int]
    rejected: list[RejectedFile]
    ignored: int
    interpretation: Interpretation
    has_split: bool
    doubles: list[DoubleGroup] | None
    crowds: CrowdCount = Field(default_factory=CrowdCount)
    digest: str
    in_place: bool
    corrected: int = 0
    added: int = 0

    def fill(self, record: DatasetRecord) -> None:
        """Write into a dataset's record what was found."""
        record.images = self.images
        record.count_labels(self.labels)
        named = [RejectedImage(**image.model_dump()) for image in self.rejected[:NAMED_REJECTED]]
        record.reject(named, dict(Counter(image.verdict for image in self.rejected)))
        record.ignored = self.ignored
        record.interpret(self.interpretation)
        record.has_split = self.has_split
        record.doubles = None if self.doubles is None else count_doubles(self.doubles, self.crowds)
        record.digest = self.digest
        record.in_place = self.in_place
        record.corrected, record.added = self.corrected, self.added


def save_images(directory: Path, records: Iterable[ImageRecord], name: str = RECORDS_FILE) -> None:
    with atomic_writer(directory / name) as file:
        for record in records:
            file.write(_IMAGE_RECORD.dump_json(record) + b"\n")


def save_rejected(directory: Path, rejected: Iterable[RejectedFile]) -> None:
    save_list(directory / REJECTED_FILE, rejected)


def iterate_rejected(directory: Path) -> Iterator[RejectedFile]:
    """Yield the rejected files of a dataset; of one that an early release has read, none.

    Raises:
        RecordCorrupt: they are damaged.
    """
    with (
        records_judged(directory, REJECTED_FILE),
        suppress(FileNotFoundError),
        open_below(directory, REJECTED_FILE) as file,
    ):
        for line in file:
            yield RejectedFile.model_validate_json(line)


def load_images(directory: Path) -> list[ImageRecord]:
    """Return the records of every image of a dataset, the rejected ones too.

    Raises:
        RecordCorrupt: they are damaged.
    """
    return list(iterate_images(directory))


def iterate_images(directory: Path, name: str = RECORDS_FILE) -> Iterator[ImageRecord]:
    with records_judged(directory, name), open_below(directory, name) as file:
        for line in file:
            yield parse_image(line)


def iterate_owned(directory: Path) -> Iterator[ImageRecord]:
    """Yield the images of a dataset as those that are made of it have them.

    Their files begin with its id, which says who keeps them.
    """
    owned = f"{_FILE_KEY}{directory.name}/".encode()
    with records_judged(directory), open_below(directory, RECORDS_FILE) as file:
        for line in file:
            # Quotes in names are escaped, so this is found once. A record whose field is set
            # afterwards is validated again, which takes twice as long.
            kept = _NO_FILE not in line
            yield parse_image(line.replace(_FILE_KEY.encode(), owned) if kept else line)


def parse_image(line: bytes) -> ImageRecord:
    """Return the record of an image from its line in `images.jsonl`.

    Raises:
        ValidationError: it is damaged; see `records_judged`.
    """
    return _IMAGE_RECORD.validate_json(line)


@contextmanager
def records_judged(directory: Path, name: str = RECORDS_FILE) -> Iterator[None]:
    """Turn what is wrong with the records of a dataset's images into RecordCorrupt."""
    try:
        yield
    except ValidationError as error:
        raise records_corrupt(directory, f"it can't be read: {first_fault(error)}", name) from None
    except OSError as error:
        if not is_fault_of_the_file(error):
            raise
        raise records_corrupt(directory, f"it can't be read: {error.strerror}", name) from None


def records_corrupt(directory: Path, reason: str, name: str = RECORDS_FILE) -> RecordCorrupt:
    return RecordCorrupt(
        f"datasets/{directory.name}/{name} is damaged: {reason}. "
        "Submit what the dataset was made of again."
    )
