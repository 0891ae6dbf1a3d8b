"""Compares the answers of two trainings to the test images that both have, image by image."""

from collections import Counter
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError
from pydantic.dataclasses import dataclass

from shared.documents import Unreadable, read_document
from shared.errors import Conflict, InvalidRequest, NotFound, first_fault
from trainer_service.errors import RecordCorrupt
from trainer_service.requests.lists import ListQuery
from trainer_service.service.trainer import Trainer
from trainer_service.service.trainings import report_file
from trainer_service.store.records.training_record import TrainingRecord

Outcome = Literal["fixed", "broken", "both_wrong", "both_right"]

#: In which images are listed: what has changed comes first.
_ORDER: dict[Outcome, int] = {"fixed": 0, "broken": 1, "both_wrong": 2, "both_right": 3}
#: By whether the old and the new training are right.
_OUTCOMES: dict[tuple[bool, bool], Outcome] = {
    (False, True): "fixed",
    (True, False): "broken",
    (False, False): "both_wrong",
    (True, True): "both_right",
}


class TwoTrainingsQuery(ListQuery):
    """What to compare with, and which images to list."""

    other: str = Field(alias="with", max_length=64, description="The id of the other training.")
    outcome: Outcome | None = Field(default=None, description="Only those of this outcome.")


class Side(BaseModel):
    """One of the two trainings; its accuracy on the images that both have, 0 to 1."""

    training: str
    model: str
    version: int
    dataset: str
    accuracy: float


class Given(BaseModel):
    """What a training answers to an image."""

    predicted: str
    probability: float


class ComparedImage(BaseModel):
    """A test image of both trainings.

    Attributes:
        label: its label in the dataset of the newer training, by which both answers are judged.
        label_before: its label in the dataset of the older one.
    """

    sha256: str
    name: str
    label: str
    label_before: str
    outcome: Outcome
    old: Given
    new: Given


class TwoTrainings(BaseModel):
    """How the answers of two trainings differ, with a page of images.

    Attributes:
        old: the training that was posted first.
        new: the other one.
        common: how many test images both have.
        only_old, only_new: how many only one of them has.
        fixed: how many of the common ones only the new training answers right.
        broken: how many of them only the old one answers right.
        images: first those that are fixed, then broken, both wrong and both right; of each kind
            those first of which the new training is surest.
    """

    old: Side
    new: Side
    common: int
    only_old: int
    only_new: int
    fixed: int
    broken: int
    both_right: int
    both_wrong: int
    images: list[ComparedImage]
    after: int | None = Field(description="The cursor to ask with next; null at the end.")


@dataclass(frozen=True, slots=True)
class _Row:
    """A test image in a report. Those of all images are in memory at once, so they are small."""

    image: str
    sha256: str
    label: str
    predicted: str
    probability: float


class _Report(BaseModel):
    test: list[_Row]


class _Tested(NamedTuple):
    record: TrainingRecord
    rows: dict[str, _Row]


def compare(trainer: Trainer, training_id: str, query: TwoTrainingsQuery) -> TwoTrainings:
    """Compare two trainings on one dataset, or on datasets that were made of the same one.

    Raises:
        NotFound: one of them does not exist.
        InvalidRequest: they are one, or their datasets have nothing to do with each other.
        Conflict: one has published nothing, its version was removed, or there is no test image
            that both have.
        RecordCorrupt, Unavailable: a report can't be read.
    """
    if training_id == query.other:
        raise InvalidRequest(f"with: expected another training. Received: {query.other!r}")
    records = [trainer.stores.trainings.get(name) for name in (training_id, query.other)]
    old, new = sorted(records, key=lambda record: (record.created_at, record.id))
    _require_one_line(old, new)
    before, after = _Tested(old, _rows(trainer, old)), _Tested(new, _rows(trainer, new))
    outcomes = _outcomes(before.rows, after.rows)
    if not outcomes:
        raise Conflict(f"Trainings {old.id!r} and {new.id!r} have no test image in common.")
    counts = Counter(outcomes.values())
    listed = [sha256 for sha256, one in outcomes.items() if query.outcome in {None, one}]
    listed.sort(key=lambda sha256: (_ORDER[outcomes[sha256]], -after.rows[sha256].probability))
    page, following = query.cut(listed)
    return TwoTrainings(
        old=_side(old, counts["broken"] + counts["both_right"], len(outcomes)),
        new=_side(new, counts["fixed"] + counts["both_right"], len(outcomes)),
        common=len(outcomes),
        only_old=len(before.rows) - len(outcomes),
        only_new=len(after.rows) - len(outcomes),
        fixed=counts["fixed"],
        broken=counts["broken"],
        both_right=counts["both_right"],
        both_wrong=counts["both_wrong"],
        images=[_image(before.rows[one], after.rows[one], outcomes[one]) for one in page],
        after=following,
    )


def _require_one_line(old: TrainingRecord, new: TrainingRecord) -> None:
    without = next((one.id for one in (old, new) if one.pretrained is not None), None)
    if without is not None:
        raise InvalidRequest(
            "with: expected two trainings with test images. Received: a pre-trained network, "
            f"{without!r}, which has none"
        )
    if old.dataset.line != new.dataset.line:
        raise InvalidRequest(
            "with: expected a training on the same dataset, or on one that was made of the same. "
            f"Received: dataset {old.dataset.id!r} and dataset {new.dataset.id!r}"
        )


def _rows(trainer: Trainer, record: TrainingRecord) -> dict[str, _Row]:
    """Return what a training answers to its test images, by their hashes."""
    name = f"{record.model}/{record.version}: the report of training {record.id!r}"
    try:
        report = _Report.model_validate_json(read_document(report_file(trainer, record)))
    except (NotFound, FileNotFoundError, NotADirectoryError):
        raise Conflict(f"{name} is gone, as its version was removed.") from None
    except ValidationError as error:
        raise RecordCorrupt(f"{name} can't be read: {first_fault(error)}.") from None
    except Unreadable as error:
        raise RecordCorrupt(f"{name}: {error.detail}") from None
    return {row.sha256: row for row in report.test}


def _outcomes(old: dict[str, _Row], new: dict[str, _Row]) -> dict[str, Outcome]:
    """Return what has become of the answer to each image that both have, by its hash."""
    return {
        sha256: _OUTCOMES[old[sha256].predicted == row.label, row.predicted == row.label]
        for sha256, row in new.items()
        if sha256 in old
    }


def _image(old: _Row, new: _Row, outcome: Outcome) -> ComparedImage:
    return ComparedImage(
        sha256=new.sha256,
        name=new.image,
        label=new.label,
        label_before=old.label,
        outcome=outcome,
        old=Given(predicted=old.predicted, probability=old.probability),
        new=Given(predicted=new.predicted, probability=new.probability),
    )


def _side(record: TrainingRecord, right: int, of: int) -> Side:
    return Side(
        training=record.id,
        model=record.model,
        version=record.version or 0,
        dataset=record.dataset.known_id,
        accuracy=round(right / of, 6),
    )
