"""The API's operations on trainings that exist."""

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from shared.errors import Conflict, Unavailable
from shared.files import is_disk_full
from shared.models.model_store import REPORT_FILE, REPORT_PAGE
from trainer_service.errors import RecordCorrupt, TrainingEnded
from trainer_service.phase_table import phase_of
from trainer_service.requests.lists import ListQuery
from trainer_service.service.endings import read_once_ended
from trainer_service.service.trainer import Trainer
from trainer_service.store.events.events import EventPage
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.model_life import find_version
from trainer_service.store.outcome import end
from trainer_service.store.records.suspects import SuspectPage, suspect_page
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import Stores


def get_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Return a training; with up to 64 labels it has the whole evaluation, else the totals."""
    record = trainer.stores.trainings.get(training_id)
    if record.state == State.SUCCEEDED:
        record.metrics = trainer.stores.trainings.evaluation(record)
    return completed(trainer, record)


def list_trainings(
    trainer: Trainer, limit: int, after: str | None
) -> tuple[list[TrainingRecord], str | None]:
    """Return a page of trainings, newest first, and the cursor of the next page, or None.

    Raises:
        InvalidRequest: `after` is not a cursor that a page has returned.
    """
    trainings = trainer.stores.trainings
    records, following = trainings.page(limit, after)
    complete = [completed(trainer, trainings.with_asked(record)) for record in records]
    return complete, following


async def wait_for_training(
    trainer: Trainer,
    training_id: str,
    seconds: float,
    *reasons: Callable[[], Coroutine[Any, Any, None]],
) -> TrainingRecord:
    """Return the record as soon as the training has ended, or after `seconds`.

    Args:
        trainer: the stores, the settings and the queue of the service.
        training_id: the id of the training.
        seconds: how long to wait at most.
        reasons: what else ends the wait, as for `read_once_ended`.
    """
    read = partial(get_training, trainer, training_id)
    ended = partial(trainer.endings.wait, training_id)
    return await read_once_ended(read, ended, seconds, *reasons)


def get_events(trainer: Trainer, training_id: str, after: int, limit: int) -> EventPage:
    """Return the events after a cursor."""
    stores = trainer.stores
    record = stores.trainings.get(training_id)
    if record.state.ended:
        # The process that ended the training may have been killed before it wrote the events.
        stores.events.append_missing(record)
    return stores.events.page(training_id, after, limit)


def get_report(trainer: Trainer, training_id: str) -> Path:
    """Return the file with the evaluation of a training that succeeded.

    Raises:
        Conflict: the training has published nothing.
    """
    return report_file(trainer, trainer.stores.trainings.get(training_id))


def report_file(trainer: Trainer, record: TrainingRecord) -> Path:
    """Return the file with the evaluation of a training, given its record; as `get_report`."""
    return _published(trainer, record) / REPORT_FILE


def get_report_page(trainer: Trainer, training_id: str) -> Path | None:
    """Return the report as HTML; None if an earlier release published the version without one.

    Raises:
        Conflict: the training has published nothing.
    """
    page = _published(trainer, trainer.stores.trainings.get(training_id)) / REPORT_PAGE
    return page if page.is_file() else None


def get_suspects(trainer: Trainer, training_id: str, query: ListQuery) -> SuspectPage:
    """Return a page of the images of a training whose label the others contradict.

    Raises:
        Conflict: they were not looked for, or not yet.
        RecordCorrupt: the list is damaged.
    """
    trainings = trainer.stores.trainings
    record = trainings.get(training_id)
    if record.suspects is None:
        raise Conflict(f"Training {training_id!r} has no list of suspects: {_why_none(record)}")
    return suspect_page(trainings.directory(training_id), query, record.suspects.count)


def _why_none(record: TrainingRecord) -> str:
    if record.pretrained is not None:
        return "a pre-trained network was published as it is, without images."
    if record.state == State.SUCCEEDED:
        return "an earlier release did it, which did not look for them. Train again."
    return f"it is {record.state}."


def cancel_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Request that a training be cancelled; if no process holds its lease, it ends at once.

    Raises:
        TrainingEnded: the training has ended.
    """
    return cancel_in(trainer.stores, training_id)


def cancel_in(stores: Stores, training_id: str) -> TrainingRecord:
    """Request that a training be cancelled, as `cancel_training`, given the stores."""
    trainings = stores.trainings

    def cancel(record: TrainingRecord) -> None:
        if record.state.ended:
            raise TrainingEnded(training_id, record.state)
        record.cancel_requested = True

    record = trainings.ask(training_id, cancel)
    try:
        with trainings.lease(training_id) as held:
            # The holder of the lease ends the training. If a worker died after it had published a
            # version, the training has succeeded, and the next worker records that.
            if held is None or _is_published(stores, record):
                return record
            return end(trainings, training_id, State.CANCELLED)
    except OSError as error:
        if not is_disk_full(error):
            raise
        return record  # a worker ends it, once there is room to write that


def _is_published(stores: Stores, record: TrainingRecord) -> bool:
    return stores.models_of(record).published_by(record.model, record.id) is not None


def stop_training(trainer: Trainer, training_id: str) -> TrainingRecord:
    """Request that a training publish the best that it has so far, as `stop_in`."""
    return stop_in(trainer.stores, trainer.board, training_id)


def stop_in(stores: Stores, board: ProgressBoard, training_id: str) -> TrainingRecord:
    """Request that a training publish the best that it has so far.

    Head training stops after the current epoch, and nothing is tuned; tuning stops at once.

    Raises:
        TrainingEnded: the training has ended.
        Conflict: head training has not begun, so there is nothing to publish.
    """

    def stop(record: TrainingRecord) -> None:
        phase = phase_of(record.state)
        if phase is None:
            raise TrainingEnded(training_id, record.state)
        if not phase.can_stop:
            raise Conflict(
                f"Training {training_id!r} has nothing to publish yet: it is {record.state}. "
                "It can be cancelled."
            )
        if _has_tuned(record):
            record.stop_tuning = True
        elif record.stop_after is None:
            head = board.read(training_id, State.HEAD)
            record.stop_after = max(1, head.done if head else 0)

    return stores.trainings.ask(training_id, stop)


def _has_tuned(record: TrainingRecord) -> bool:
    """Return whether tuning has begun: then the head has been trained to its end.

    After a fault the head is trained again, with the same result.
    """
    return any(transition.state == State.TUNING for transition in record.transitions)


def delete_training(trainer: Trainer, training_id: str) -> None:
    """Remove a training that has ended; the version that it has published stays.

    Raises:
        NotFound: no training has this id.
        Conflict: it has not ended; or its record can't be read and a process works on it.
    """
    trainings = trainer.stores.trainings
    try:
        record = trainings.get(training_id)
    except (RecordCorrupt, Unavailable):
        trainings.delete_unreadable(training_id)
        return
    if not record.state.ended:
        raise Conflict(f"Training {training_id!r} is {record.state}: cancel it first.")
    if record.is_member:
        raise Conflict(
            f"Training {training_id!r} belongs to comparison {record.comparison!r}: remove that."
        )
    trainings.delete(training_id)


def _published(trainer: Trainer, record: TrainingRecord) -> Path:
    if record.version is not None:
        return find_version(trainer.stores.models, record.model, record.version, record.id)
    if record.withheld is not None:
        return trainer.stores.models_of(record).directory(record.model, record.withheld)
    raise Conflict(f"Training {record.id!r} has no report: it is {record.state}.")


def completed(trainer: Trainer, record: TrainingRecord) -> TrainingRecord:
    """Set the fields that are not kept in the record: the report's address and the progress."""
    if record.version is not None or record.withheld is not None:
        record.report = f"/v1/trainings/{record.id}/report"
    if not record.state.ended:
        record.progress = trainer.board.read(record.id, record.state)
    return record
