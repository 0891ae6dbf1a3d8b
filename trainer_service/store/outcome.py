"""Writes into a training's record why it ended early."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.documents import reason
from shared.errors import HeadstartError, Unavailable
from shared.files import is_disk_full
from shared.logs import get_logger
from trainer_service.errors import RecordUnwritable, Setback, TrainingCancelled, TransientFailure
from trainer_service.store.files.lease import LeaseLost
from trainer_service.store.records.parts import ErrorInfo
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.stores import TrainingStore

_TRANSIENT = (OSError, MemoryError, TransientFailure, Setback, Unavailable, RecordUnwritable)

log = get_logger(__name__)


@contextmanager
def recorded_outcome(trainings: TrainingStore, training_id: str) -> Iterator[None]:
    """Record an exception of the body as the end of the training: cancelled, or failed and why.

    After LeaseLost nothing is recorded, as another worker continues the training.
    """
    try:
        yield
    except TrainingCancelled:
        end(trainings, training_id, State.CANCELLED)
    except LeaseLost as lost:
        log.warning("left to another worker", training_id=training_id, reason=str(lost))
    except HeadstartError as error:
        end(trainings, training_id, State.FAILED, error)
    except Exception as error:
        record = end(trainings, training_id, State.FAILED, error)
        if record.state != State.FAILED:
            # It was cancelled meanwhile, and its files removed under the worker.
            log.info("ended meanwhile", training_id=training_id, reason=str(error))
        elif isinstance(error, PermissionError) or is_disk_full(error):
            log.warning("failed", training_id=training_id, reason=str(error))
        else:
            log.exception("failed", training_id=training_id)


def end(
    trainings: TrainingStore,
    training_id: str,
    state: State,
    error: Exception | ErrorInfo | None = None,
) -> TrainingRecord:
    """Move a training to a final state, unless it has ended already, and return its record.

    If the disk is full, the files that it needs no more are removed before the record is written.
    """

    def change(record: TrainingRecord) -> None:
        if record.state.ended:
            return
        record.enter(state)
        record.error = error_info(error) if isinstance(error, Exception) else error

    try:
        return trainings.update(training_id, change)
    except OSError as full:
        if not is_disk_full(full):
            raise
    trainings.clear(training_id)
    return trainings.update(training_id, change)


def error_info(error: Exception) -> ErrorInfo:
    """Return an error as records hold it."""
    return ErrorInfo(
        type=type(error).__name__,
        detail=in_words(error),
        transient=isinstance(error, _TRANSIENT),
    )


def in_words(error: Exception) -> str:
    """Return the message of an error, as records and the log show it."""
    if isinstance(error, HeadstartError):
        return error.detail
    if isinstance(error, OSError) and error.strerror:
        return f"{reason(error)}: {error.filename}" if error.filename else reason(error)
    return f"{type(error).__name__}: {error}"
