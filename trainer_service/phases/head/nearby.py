"""Where a head is searched first: near what an earlier training on nearly the same images chose.

docs/decisions/0052-near-an-earlier-choice.md says why that finds the same heads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from shared.errors import HeadstartError
from shared.logs import get_logger
from shared.models.manifest import NearInfo
from trainer_service.datasets.dataset import Dataset
from trainer_service.datasets.records import ImageRecord
from trainer_service.phases.head.regression.search import STRENGTHS
from trainer_service.phases.work import Work
from trainer_service.requests.training import TapSet, TrainingRequest
from trainer_service.store.records.training_record import State, TrainingRecord

#: If more of the images differ, all heads are tried.
MOST_CHANGED = 0.05
#: The fields of a request on which the choice of a regression depends, besides the images.
_DECISIVE = ("taps", "head", "views", "augment", "class_weights", "split", "seed")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Nearby:
    """What an earlier training chose, among all heads, for nearly the same images."""

    taps: TapSet
    strength: float
    info: NearInfo


def nearby(work: Work, images: Sequence[ImageRecord]) -> Nearby | None:
    """Return what to search near; None if all heads are to be tried.

    The datasets that the training's one was made of are gone through, the nearest first. Only the
    records count, and only of trainings that had ended when this one was asked for: so a training
    that is repeated, by whichever worker, searches near the same.

    Args:
        work: the training.
        images: those that it learns from or is judged by.
    """
    if work.record.request.head != "regression":
        return None
    try:
        for ancestor in _ancestors(work):
            found = _full_search(work, ancestor.id)
            if found is not None:
                return _if_alike(found, ancestor, images)
    except (HeadstartError, OSError) as error:
        log.warning("an earlier choice can't be read, so all heads are tried", reason=str(error))
    return None


def _ancestors(work: Work) -> Iterator[Dataset]:
    """Yield the datasets that the training's one was made of, the nearest first."""
    worker, parent = work.worker, work.dataset().record.parent
    while parent is not None:
        dataset = Dataset.open(worker.stores.datasets, worker.settings, parent)
        yield dataset
        parent = dataset.record.parent


def _full_search(work: Work, dataset: str) -> TrainingRecord | None:
    """Return the newest training on a dataset that has tried all heads, as this one would."""
    trainings, own = work.worker.stores.trainings, work.record
    briefs = [
        brief
        for brief in trainings.briefs()
        if brief.dataset == dataset and brief.state == State.SUCCEEDED and brief.id != own.id
    ]
    for brief in sorted(briefs, key=lambda brief: (brief.created_at, brief.id), reverse=True):
        record = trainings.get(brief.id)
        if record.transitions[-1].at <= own.created_at and _tried_all(record, own):
            return record
    return None


def _tried_all(record: TrainingRecord, own: TrainingRecord) -> bool:
    """Return whether a training has chosen its head among all that another one would try."""
    head = record.head
    return (
        record.architecture == own.architecture
        and _decisive(record.request) == _decisive(own.request)
        and record.stop_after is None
        and head is not None
        and head.near is None
        and head.taps in get_args(TapSet)
        and head.strength in STRENGTHS
    )


def _decisive(request: TrainingRequest) -> list[object]:
    return [getattr(request, field) for field in _DECISIVE]


def _if_alike(
    found: TrainingRecord, its_dataset: Dataset, images: Sequence[ImageRecord]
) -> Nearby | None:
    """Return what a training chose if it learnt nearly the same images and the same labels."""
    before = {image.sha256: image.label for image in its_dataset.used_images()}
    now = {image.sha256: image.label for image in images}
    differ = sum(before.get(sha256) != now.get(sha256) for sha256 in before | now)
    if set(before.values()) != set(now.values()) or differ > MOST_CHANGED * len(now):
        return None
    head = found.head
    if head is None or head.strength is None:
        return None
    info = NearInfo(training=found.id, differ=differ, images=len(now))
    return Nearby(cast("TapSet", head.taps), head.strength, info)
