"""What a dataset was made of: the images of the first one, further ones, and corrections."""

from collections import Counter
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from trainer_service.datasets.children.corrections import (
    Correction,
    corrected,
    iterate_corrections,
    save_corrections,
)
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.doubles import groups_of, save_doubles
from trainer_service.datasets.image_files import split_owner
from trainer_service.datasets.records import (
    REJECTED_FILE,
    DatasetSummary,
    ImageRecord,
    RejectedFile,
    digest_of,
    iterate_images,
    iterate_owned,
    iterate_rejected,
    records_corrupt,
    save_images,
    save_rejected,
)
from trainer_service.datasets.scan.conclude import rejected_of
from trainer_service.errors import InvalidDataset
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState
from trainer_service.store.records.parts import CrowdCount

ADDITIONS_FILE = "additions.jsonl"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a dataset was made of.

    It is read from the dataset's own files and those of the first one of its line alone, however
    many there are in between. Only a dataset that is not read yet asks its parent, what is told.

    Attributes:
        first: the images of the first dataset, as it was read.
        told: the rejected files that are no images, of all that was read.
        additions: the images that were added since, as they were added.
        corrections: the corrections of all these, by the hashes of the images.
    """

    first: list[ImageRecord]
    told: list[RejectedFile]
    additions: list[ImageRecord]
    corrections: dict[str, Correction]

    @classmethod
    def of(cls, dataset: Dataset) -> "Lineage":
        """Return what a dataset was made of.

        Raises:
            RecordCorrupt: a file that says so is damaged, incomplete or gone.
        """
        directory, record = dataset.directory, dataset.record
        first = list(iterate_owned(directory.parent / record.line))
        additions: list[ImageRecord] = []
        corrections: dict[str, Correction] = {}
        if record.parent is not None:
            additions = list(iterate_images(directory, ADDITIONS_FILE))
            corrections = {one.sha256: one for one in iterate_corrections(dataset)}
        lineage = cls(first, [], additions, corrections)
        listed, is_read = directory, record.state == DatasetState.READY
        if record.parent is not None and not is_read:  # what it adds is not known for sure
            lineage = lineage.with_additions([], [], dataset.id)
            listed = directory.parent / record.parent
        images = lineage.images()
        used = [image for image in images if image.verdict == "used"]
        rejected = list(iterate_rejected(listed))
        if is_read:
            lineage.require_whole(dataset, used)
            _require_listed(dataset, len(rejected))
        return replace(lineage, told=rejected[len(images) - len(used) :])

    def require_whole(self, dataset: Dataset, used: list[ImageRecord]) -> None:
        """Check that all is there, and as it was when a dataset was read.

        Args:
            dataset: that dataset.
            used: the images that it uses now.

        Raises:
            RecordCorrupt: there is not.
        """
        directory, record = dataset.directory, dataset.record
        added = sum(image.verdict == "used" for image in self.additions)
        if added != record.added:
            reason = f"{added} are in it; {record.added} were"
            raise records_corrupt(directory, reason, ADDITIONS_FILE)
        first, of = directory.parent / record.line, f"with it, dataset {record.id} has"
        if record.images not in {None, len(used)}:
            raise records_corrupt(first, f"{of} {len(used)} used images; it had {record.images}")
        if record.digest not in {None, digest_of(used)}:
            raise records_corrupt(first, f"{of} other images or labels than when it was read")

    def uncorrected(self) -> list[ImageRecord]:
        """Return all images without corrections, in the order of their names."""
        doubled = {image.double_of for image in self.additions} - {""}
        # An image that was alone when it was read may have got a double since.
        images = [
            replace(image, double_of=image.sha256)
            if image.sha256 in doubled and not image.double_of
            else image
            for image in [*self.first, *self.additions]
        ]
        return sorted(images, key=attrgetter("name"))

    def labels(self) -> list[str]:
        """Return the labels without corrections, those of the first dataset last.

        Even if no image has such a label any more, it is how that label is spelt: else a correction
        could not be undone after an image has got the same label in other letters.
        """
        images = [*self.additions, *self.first]
        return list(dict.fromkeys(image.label for image in images if image.verdict == "used"))

    def images(self) -> list[ImageRecord]:
        """Return all images with corrections, in the order of their names."""
        return corrected(self.uncorrected(), self.corrections)

    def write_sources(self, directory: Path) -> None:
        """Write into the directory of a child what it is made of, besides the first dataset."""
        directory.mkdir(parents=True, exist_ok=True)
        save_corrections(directory, self.corrections.values())
        save_images(directory, self.additions, ADDITIONS_FILE)

    def write_images(self, directory: Path, record: DatasetRecord) -> DatasetSummary:
        """Write all images of a child, and what is rejected; return what the child has.

        Args:
            directory: that of the child.
            record: that of the child or of its parent, which are read alike.

        Raises:
            InvalidDataset: fewer than two labels are left.
        """
        images = self.images()
        used = [image for image in images if image.verdict == "used"]
        labels = dict(sorted(Counter(image.label for image in used).items()))
        _require_two(labels)
        rejected = [*rejected_of(images), *self.told]
        save_images(directory, images)
        save_rejected(directory, rejected)
        doubles = groups_of(images)
        save_doubles(directory, doubles)
        return DatasetSummary(
            images=len(used),
            labels=labels,
            rejected=rejected,
            ignored=record.ignored,
            interpretation=record.as_read(),
            has_split=record.has_split,
            # Where it was not looked for them, nobody knows that there are none.
            doubles=None if record.doubles is None else doubles,
            crowds=CrowdCount() if record.doubles is None else record.doubles.crowds,
            digest=digest_of(used),
            in_place=False,
            corrected=len(self.corrections),
            added=sum(image.verdict == "used" for image in self.additions),
        )

    def with_corrections(self, corrections: dict[str, Correction]) -> "Lineage":
        """Return what a dataset is made of that has other corrections."""
        return replace(self, corrections=corrections)

    def with_additions(
        self, additions: list[ImageRecord], told: list[RejectedFile], owner: str
    ) -> "Lineage":
        """Return what a dataset is made of that adds images, instead of those of an earlier try.

        Args:
            additions: the images, whose files the dataset keeps.
            told: rejected files beside them that are no images.
            owner: the id of the dataset.
        """
        others = [image for image in self.additions if split_owner(image.file)[0] != owner]
        return replace(self, additions=[*others, *additions], told=[*self.told, *told])


def _require_listed(dataset: Dataset, rejected: int) -> None:
    """Check that as many rejected files are listed as there were; an early release had no list.

    Raises:
        RecordCorrupt: there are not.
    """
    directory, written = dataset.directory, dataset.record.rejected_count
    if rejected != written and (directory / REJECTED_FILE).exists():
        raise records_corrupt(directory, f"{rejected} are in it; {written} were", REJECTED_FILE)


def _require_two(labels: dict[str, int]) -> None:
    if len(labels) < 2:  # noqa: PLR2004 - a classifier needs two
        left = next((f"{label!r} with {count} images" for label, count in labels.items()), "none")
        raise InvalidDataset(
            f"A classifier needs at least two labels. After these changes there is: {left}"
        )
