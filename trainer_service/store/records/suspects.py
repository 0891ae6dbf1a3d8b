"""The images of a training whose label the other images contradict.

trainings/<id>/suspects.jsonl     a `Suspect` a line, those contradicted most clearly first
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from trainer_service.requests.lists import ListQuery
from trainer_service.store.records.lists import lines_of, list_page, save_list
from trainer_service.store.records.parts import RecordPart

SUSPECTS_FILE = "suspects.jsonl"
#: The most suspects that are listed; beyond, it is not single labels that are wrong.
MOST_SUSPECTS = 1000

Part = Literal["train", "validation", "test"]


class Suspect(RecordPart):
    """An image whose label the other images contradict.

    Its probabilities come from a classifier that has not learnt from it.

    Attributes:
        image: the path of the image in the dataset.
        sha256: the hash of its bytes.
        label: the label that the dataset gives it.
        proposed: the label that the other images speak for.
        label_probability: of its label, 0 to 1.
        proposed_probability: of the proposed one, 0 to 1.
        split: the part of the images that it is in.
    """

    image: str
    sha256: str
    label: str
    proposed: str
    label_probability: float
    proposed_probability: float
    split: Part


class SuspectPage(RecordPart):
    """Suspects after a cursor."""

    suspects: list[Suspect]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


def save_suspects(training_directory: Path, suspects: Iterable[Suspect]) -> None:
    """Write the suspects of a training, in this order, up to `MOST_SUSPECTS`."""
    save_list(training_directory / SUSPECTS_FILE, islice(suspects, MOST_SUSPECTS))


def suspect_page(training_directory: Path, query: ListQuery, count: int) -> SuspectPage:
    """Return a page of suspects, of which so many were found.

    Raises:
        RecordCorrupt: as `list_page`.
    """
    name = f"trainings/{training_directory.name}/{SUSPECTS_FILE}"
    lines = lines_of(training_directory, SUSPECTS_FILE)
    suspects, after = list_page(lines, Suspect, query, name, min(count, MOST_SUSPECTS))
    return SuspectPage(suspects=suspects, after=after)
