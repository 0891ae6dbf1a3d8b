"""Lists and opens the images of a dataset that has been read."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, Field

from shared.errors import NotFound, Unavailable
from shared.files import is_fault_of_the_file, open_below
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import (
    RECORDS_FILE,
    REJECTED_FILE,
    ImageRecord,
    Split,
    Verdict,
    parse_image,
    records_corrupt,
    records_judged,
)
from trainer_service.datasets.thumbnails.store import (
    SMALL_BYTES,
    find_thumbnail,
    fits,
)
from trainer_service.requests.lists import ListQuery
from trainer_service.store.records.lists import lines_of, list_page
from trainer_service.store.records.parts import RejectedImage
from trainer_service.store.records.record_store import RECORD_FILE

#: How much of the list of images is searched at a time.
PIECE_BYTES = 1 << 20
#: No record has a longer line: names and reasons are short.
LONGEST_LINE = 1 << 20
#: The media types whose names differ from those of the formats.
_MEDIA_TYPES = {"ppm": "image/x-portable-anymap"}


class ImageQuery(ListQuery):
    """Which images to list."""

    label: str | None = Field(default=None, description="Only those of this label.")
    verdict: Verdict | None = Field(default=None, description="Only those of this verdict.")
    sha256: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(
        default=[], max_length=10, description="Only those with one of these hashes."
    )


class DatasetImage(BaseModel):
    """An image of a dataset; `/images/{sha256}` returns its bytes if the image is used."""

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


class RejectedPage(BaseModel):
    """Rejected files after a cursor."""

    rejected: list[RejectedImage]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


class DatasetImagePage(BaseModel):
    """Images after a cursor."""

    images: list[DatasetImage]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


def list_images(dataset: Dataset, query: ImageQuery) -> DatasetImagePage:
    """Return a page of a dataset's images, in the order of their names.

    Raises:
        RecordCorrupt: a record on this page is damaged, or the list ends with it too early.
    """
    images: list[DatasetImage] = []
    for position, record in _records(dataset, query.after, query.sha256):
        if query.label not in {None, record.label} or query.verdict not in {None, record.verdict}:
            continue
        if len(images) == query.limit:
            return DatasetImagePage(images=images, after=position)
        images.append(DatasetImage.model_validate(record, from_attributes=True))
    return DatasetImagePage(images=images, after=None)


def list_rejected(dataset: Dataset, query: ListQuery) -> RejectedPage:
    """Return a page of the files of a dataset that were rejected.

    Raises:
        RecordCorrupt: as `list_page`.
    """
    name = f"datasets/{dataset.id}/{REJECTED_FILE}"
    rejected, after = list_page(
        _rejected(dataset.directory), RejectedImage, query, name, dataset.record.rejected_count
    )
    return RejectedPage(rejected=rejected, after=after)


def open_image(dataset: Dataset, sha256: str) -> tuple[BinaryIO, str]:
    """Open the file of a used image.

    Returns:
        The open file, which the caller closes, and its media type.

    Raises:
        NotFound: the dataset uses no such image, or its file is gone.
        RecordCorrupt: the records of its images are damaged.
        Unavailable: it can't be read now.
    """
    record = _require(dataset, sha256)
    return _open(dataset, record), _media_type(record)


def find_small(dataset: Dataset, sha256: str) -> tuple[bytes, str]:
    """Return the thumbnail of an image, or the image itself if it is small, and its media type.

    Raises:
        NotFound: the dataset uses no such image, or has no thumbnail of it.
        RecordCorrupt: the records of its images are damaged.
        Unavailable: it can't be read now.
    """
    for thumbnails in dataset.thumbnail_files():
        if small := find_thumbnail(thumbnails, sha256):
            return small
    record = _require(dataset, sha256)
    with _open(dataset, record) as file:
        size = os.fstat(file.fileno()).st_size
        if not fits(size, record.format, record.width, record.height):
            raise NotFound(f"Dataset {dataset.id!r} has no thumbnail of image {sha256!r}.")
        return file.read(SMALL_BYTES), _media_type(record)


def _require(dataset: Dataset, sha256: str) -> ImageRecord:
    with records_judged(dataset.directory):
        record = _find(dataset, sha256)
    if record is None:
        raise NotFound(f"Dataset {dataset.id!r} uses no image {sha256!r}.")
    return record


def _open(dataset: Dataset, record: ImageRecord) -> BinaryIO:
    try:
        return dataset.open_image(record)
    except OSError as error:
        if is_fault_of_the_file(error):
            raise NotFound(f"The file of {record.name!r} is gone.") from error
        raise Unavailable(f"{record.name!r} can't be read now: {error.strerror}.") from error


def _media_type(record: ImageRecord) -> str:
    return _MEDIA_TYPES.get(record.format, f"image/{record.format}")


def _records(
    dataset: Dataset, after: int, hashes: Sequence[str]
) -> Iterator[tuple[int, ImageRecord]]:
    """Yield the records of images with their positions; if hashes are given, only theirs.

    Raises:
        RecordCorrupt: they are damaged, or fewer than the dataset has images.
    """
    wanted, directory, end = [_mention(sha256) for sha256 in hashes], dataset.directory, after
    with records_judged(directory), open_below(directory, RECORDS_FILE) as file:
        for line in islice(file, after, None):
            end += 1
            if not wanted or any(mention in line for mention in wanted):
                yield end - 1, parse_image(line)
    _require_all(dataset, end)


def _require_all(dataset: Dataset, lines: int) -> None:
    """Check that the list of images, which has so many lines, has those that are used."""
    used = dataset.record.images or 0
    if lines < used:
        raise records_corrupt(dataset.directory, f"it has {lines} of at least {used} images")


def _mention(sha256: str) -> bytes:
    """Return what a record of this hash has in it, so that no other need be parsed."""
    return f'"sha256":"{sha256}"'.encode()


class _EarlierRecord(BaseModel):
    """A dataset's record by an earlier release, which held all rejected files itself."""

    rejected: list[RejectedImage] = Field(default_factory=list)


def _rejected(directory: Path) -> Iterator[bytes]:
    try:
        yield from lines_of(directory, REJECTED_FILE)
    except FileNotFoundError:
        record = _EarlierRecord.model_validate_json((directory / RECORD_FILE).read_bytes())
        yield from (image.model_dump_json().encode() for image in record.rejected)


def _find(dataset: Dataset, sha256: str) -> ImageRecord | None:
    """Search for an image without parsing the records of all others.

    Raises:
        RecordCorrupt: it is not found, and the list ends too early or has a line that is no record.
    """
    wanted, read = _mention(sha256), 0
    for lines in _pieces(dataset.directory):
        found = lines.find(wanted)
        while found >= 0:
            start, end = lines.rfind(b"\n", 0, found) + 1, lines.find(b"\n", found)
            record = parse_image(lines[start:end])
            if record.verdict == "used" and record.sha256 == sha256:
                return record
            found = lines.find(wanted, end)
        read += lines.count(b"\n")
    _require_all(dataset, read)
    return None


def _pieces(directory: Path) -> Iterator[bytes]:
    """Yield the lines of a list of images, many at a time.

    The file is not mapped into memory: if it is truncated meanwhile, SIGBUS would end the process.

    Raises:
        RecordCorrupt: a line is longer than a record can be.
    """
    rest = b""
    with open_below(directory, RECORDS_FILE) as file:
        while piece := file.read(PIECE_BYTES):
            lines, newline, rest = (rest + piece).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise records_corrupt(directory, f"it has a line of over {LONGEST_LINE} bytes")
            yield lines + newline
    if rest:
        yield rest + b"\n"
