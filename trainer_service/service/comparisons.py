"""The API's operations on comparisons that exist."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shared.errors import Conflict, Unavailable
from shared.identifiers import Id
from trainer_service.errors import ComparisonEnded, RecordCorrupt, TrainingEnded, TrainingNotFound
from trainer_service.requests.part import RequestPart
from trainer_service.service.endings import read_once_ended
from trainer_service.service.trainer import Trainer
from trainer_service.service.trainings import cancel_in, completed
from trainer_service.store.events.events import EventPage
from trainer_service.store.records.comparison_record import ComparisonRecord, ComparisonState
from trainer_service.store.records.training_record import Progress, State, TrainingRecord


class PublishRequest(RequestPart):
    """Which training of a comparison is to be published."""

    training: Id


class MemberStatus(BaseModel):
    """A training of a comparison.

    Attributes:
        candidate: the name of the candidate; a training of the first round may be of several.
        round: first, or full: on all images.
    """

    id: str
    candidate: str
    round: str
    state: State
    progress: Progress | None


class ComparisonStatus(ComparisonRecord):
    """A comparison as the API returns a single one.

    Attributes:
        trainings: those that were created.
        report: the address of the table and the picture in one file, once there is one.
    """

    trainings: list[MemberStatus]
    report: str | None


def get_comparison(trainer: Trainer, comparison_id: str) -> ComparisonStatus:
    """Return a comparison with the states of its trainings."""
    record = trainer.stores.comparisons.get(comparison_id)
    report = f"/v1/comparisons/{comparison_id}/report"
    has_page = trainer.stores.comparisons.page_file(comparison_id).is_file()
    return ComparisonStatus(
        **dict(record), trainings=_members(trainer, record), report=report if has_page else None
    )


def list_comparisons(
    trainer: Trainer, limit: int, after: str | None
) -> tuple[list[ComparisonRecord], str | None]:
    """Return a page of comparisons, newest first, and the cursor of the next page, or None."""
    records, following = trainer.stores.comparisons.page(limit, after)
    return list(records), following


async def wait_for_comparison(
    trainer: Trainer,
    comparison_id: str,
    seconds: float,
    *reasons: Callable[[], Coroutine[Any, Any, None]],
) -> ComparisonStatus:
    """Return the comparison as soon as it has ended, or after `seconds`.

    Args:
        trainer: the stores, the settings and the queue of the service.
        comparison_id: the id of the comparison.
        seconds: how long to wait at most.
        reasons: what else ends the wait, as for `read_once_ended`.
    """
    read = partial(get_comparison, trainer, comparison_id)
    ended = partial(trainer.comparison_endings.wait, comparison_id)
    return await read_once_ended(read, ended, seconds, *reasons)


def get_comparison_events(
    trainer: Trainer, comparison_id: str, after: int, limit: int
) -> EventPage:
    """Return the events of a comparison after a cursor."""
    stores = trainer.stores
    stores.comparisons.get(comparison_id)
    return stores.comparison_events.page(comparison_id, after, limit)


def get_comparison_report(trainer: Trainer, comparison_id: str) -> Path:
    """Return the file of the report.

    Raises:
        Conflict: there is none yet, or there will be none.
    """
    record = trainer.stores.comparisons.get(comparison_id)
    file = trainer.stores.comparisons.page_file(comparison_id)
    if not file.is_file():
        raise Conflict(f"Comparison {comparison_id!r} has no report: it is {record.state}.")
    return file


def cancel_comparison(trainer: Trainer, comparison_id: str) -> ComparisonRecord:
    """Request that a comparison be cancelled, with all of its trainings.

    Raises:
        ComparisonEnded: it has ended.
    """

    def cancel(record: ComparisonRecord) -> None:
        if record.state.ended:
            raise ComparisonEnded(comparison_id, record.state)
        record.cancel_requested = True

    record = trainer.stores.comparisons.update(comparison_id, cancel)
    for training_id in record.members:
        with suppress(TrainingEnded, TrainingNotFound):
            cancel_in(trainer.stores, training_id)
    _advance(trainer, comparison_id)
    return record


def stop_comparison(trainer: Trainer, comparison_id: str) -> ComparisonRecord:
    """Request the table of what there is by now: what runs takes its best so far.

    Raises:
        ComparisonEnded: it has ended.
        Conflict: there is nothing yet that a table could be made of, or all is trained.
    """

    def stop(record: ComparisonRecord) -> None:
        if record.state.ended:
            raise ComparisonEnded(comparison_id, record.state)
        if record.state != ComparisonState.TRAINING:
            raise Conflict(
                f"Comparison {comparison_id!r} can be stopped while it trains on all images: it is "
                f"{record.state}. It can be cancelled."
            )
        record.stop_requested = True

    record = trainer.stores.comparisons.update(comparison_id, stop)
    _advance(trainer, comparison_id)
    return record


def publish_member(trainer: Trainer, comparison_id: str, training_id: str) -> ComparisonRecord:
    """Request that the version of a training be published; a worker does it.

    Raises:
        Conflict: the comparison has not ended, the training has no row in its table, or another
            one is being published.
        Unavailable: Redis does not answer; nothing was changed.
    """

    def publish(record: ComparisonRecord) -> None:
        candidate = record.candidate_of(training_id)
        if candidate is None:
            raise Conflict(f"Comparison {comparison_id!r} has no training {training_id!r}.")
        if not record.state.ended:
            raise Conflict(f"Comparison {comparison_id!r} is {record.state}: wait for its end.")
        if candidate.row is None:
            why = candidate.error or f"the comparison is {record.state}"
            raise Conflict(f"Training {training_id!r} has no version: {why}")
        if record.to_publish not in {None, training_id}:
            raise Conflict(f"Training {record.to_publish!r} is being published: try again later.")
        record.to_publish, record.publish_error = training_id, None

    record = trainer.stores.comparisons.update(comparison_id, publish)
    _advance(trainer, comparison_id)
    return record


def delete_comparison(trainer: Trainer, comparison_id: str) -> None:
    """Remove a comparison that has ended, with its trainings; what was published stays.

    Raises:
        Conflict: it has not ended; or its record can't be read and a process works on it.
    """
    stores = trainer.stores
    try:
        record = stores.comparisons.get(comparison_id)
    except (RecordCorrupt, Unavailable):
        stores.comparisons.delete_unreadable(comparison_id)
        return
    if not record.state.ended or record.to_publish is not None:
        raise Conflict(f"Comparison {comparison_id!r} is {record.state}: cancel it first.")
    stores.remove_comparison(record)


def _members(trainer: Trainer, record: ComparisonRecord) -> list[MemberStatus]:
    found: dict[str, MemberStatus] = {}
    for candidate in record.candidates:
        for name, training_id in (("first", candidate.trial), ("full", candidate.training)):
            if training_id is None or training_id in found:
                continue
            training = _training(trainer, training_id)
            if training is not None:
                found[training_id] = MemberStatus(
                    id=training_id,
                    candidate=candidate.name,
                    round=name,
                    state=training.state,
                    progress=training.progress,
                )
    return list(found.values())


def _training(trainer: Trainer, training_id: str) -> TrainingRecord | None:
    with suppress(TrainingNotFound, RecordCorrupt, Unavailable):
        return completed(trainer, trainer.stores.trainings.get(training_id))
    return None


def _advance(trainer: Trainer, comparison_id: str) -> None:
    """Have a worker do what was asked for; without Redis, it is found later."""
    with suppress(Unavailable):
        trainer.queue.advance(comparison_id)
