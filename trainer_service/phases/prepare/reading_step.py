"""The step that reads a dataset, for itself and for all trainings that wait for it."""

import time
from collections.abc import Callable
from functools import partial
from operator import methodcaller

from shared.errors import HeadstartError, NotFound, Unavailable
from shared.logs import get_logger
from trainer_service.datasets import reading
from trainer_service.errors import TrainingCancelled, TrainingEnded, TransientFailure
from trainer_service.phase_table import is_before_plan
from trainer_service.phases.context import Worker
from trainer_service.phases.setbacks import Setbacks, hand_over, persevere, warn_of_setback
from trainer_service.steps import PREPARE, READ_DATASET, Step
from trainer_service.store.events.progress import Ticker
from trainer_service.store.lease import LeaseLost
from trainer_service.store.outcome import end, in_words
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.waiting import WaitingTrainings, must_be_read

#: Seconds between two looks at the trainings that wait.
POLL_INTERVAL = 0.5

log = get_logger(__name__)


def read_dataset(worker: Worker, dataset_id: str) -> None:
    """Read a dataset that is wanted, unless another process is at it, and submit what waits."""
    datasets = worker.stores.datasets
    try:
        audience = Audience(worker, datasets.get(dataset_id))
        if not audience.begin():
            reading.put_back(datasets, dataset_id)
            return
    except HeadstartError as error:
        # The search for lost steps has what waits prepared, which then says so.
        log.info("refused", reason=str(error))
        return
    if _read(worker, dataset_id, audience):
        audience.submit()


def _read(worker: Worker, dataset_id: str, audience: "Audience") -> bool:
    """Return whether something has come of it, if only that nobody wants it."""
    datasets = worker.stores.datasets
    directory = datasets.directory(dataset_id)
    found: list[DatasetRecord | None] = []

    def read() -> None:
        found.append(_read_once(worker, dataset_id, audience))

    try:
        if not persevere(worker, directory, audience.check, read, audience.warn):
            hand_over(worker, directory, Step(READ_DATASET, (dataset_id,)), audience.check)
            return False
    except TransientFailure as error:  # no worker sees it
        reading.record_failure(datasets, dataset_id, error)
        Setbacks(directory).forget_all()  # who has it read anew has all tries again
    except TrainingCancelled as cancelled:
        log.info("left unread", reason=str(cancelled))
        return True
    except LeaseLost as lost:
        log.warning("left to another worker", reason=str(lost))
        return False
    except (HeadstartError, OSError) as error:
        log.info("refused", reason=str(error))
    except Exception:
        log.exception("a dataset could not be read", dataset_id=dataset_id)
    else:
        return found[-1] is not None  # else whoever is at it submits what waits
    try:
        # If even that could not be written down, the search for lost steps has it tried again.
        return not must_be_read(datasets.get(dataset_id))
    except HeadstartError:
        return False


def _read_once(worker: Worker, dataset_id: str, audience: "Audience") -> DatasetRecord | None:
    """Read a dataset and return its record, as `reading.read` does.

    What the machine did to it is raised only if that is not what the record says by now: then
    there is something left to be tried.
    """
    datasets = worker.stores.datasets
    try:
        return reading.read(datasets, worker.settings, dataset_id, audience, audience.check)
    except (OSError, MemoryError) as error:
        record = datasets.get(dataset_id)
        if must_be_read(record):
            raise
        log.info("not read now", reason=in_words(error))
        return record


def wait_for_dataset(worker: Worker, training: TrainingRecord) -> bool:
    """Have a training wait for its dataset if that is to be read; tell whether it does.

    Raises:
        DatasetNotFound, RecordCorrupt: there is nothing to wait for.
    """
    datasets = worker.stores.datasets
    dataset = datasets.get(training.dataset.id)
    waiting = WaitingTrainings(datasets.directory(dataset.id))
    if not must_be_read(dataset):
        waiting.discard(training.id)
        return False
    waiting.add(training.id)
    # Also while it is being read: it may be ready by now, and nobody have seen this one wait.
    worker.submit.submit([Step(READ_DATASET, (dataset.id,))])
    return True


class Audience:
    """Tells the trainings that wait for a dataset how far it is read; some come, and some go.

    Calling it raises TrainingCancelled once nobody wants the dataset any more. What is wrong with
    one training is no fault of the dataset's, nor of the others.
    """

    def __init__(self, worker: Worker, dataset: DatasetRecord) -> None:
        self._worker = worker
        self._waiting = WaitingTrainings(worker.stores.datasets.directory(dataset.id))
        self._submitted = dataset.submitted
        self._tickers: dict[str, Ticker | None] = {}
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._look(total)
            self._next = time.monotonic() + POLL_INTERVAL
        for training_id, ticker in list(self._tickers.items()):
            if ticker is not None:
                tick = partial(ticker, done, last=done == total, total=total)
                self._tickers[training_id] = ticker if self._told(training_id, tick) else None

    def check(self) -> None:
        """Look who waits; this may be called in another thread than all else.

        Raises:
            TrainingCancelled: nobody wants the dataset any more.
        """
        self._wanted_by()

    def warn(self, reason: str) -> None:
        """Tell all that wait why the dataset is not read yet."""
        for training_id in self._open():
            self._told(training_id, partial(warn_of_setback, self._worker, training_id, reason))

    def begin(self) -> bool:
        """Tell all that wait that it is their turn, and whether anybody wants the dataset."""
        there = self._open()
        for training_id in there:
            self._enter(training_id)
        return bool(there) or self._submitted

    def submit(self) -> None:
        """Submit the next step of all that wait, those first that have waited longest."""
        for training_id in self._open():
            self._worker.submit.submit([Step(PREPARE, (training_id,))])
            self._waiting.discard(training_id)

    def _look(self, total: int) -> None:
        known = self._tickers
        self._tickers = {
            key: known[key] if key in known else self._join(key, total) for key in self._wanted_by()
        }

    def _wanted_by(self) -> list[str]:
        there = self._open()
        if not there and not self._submitted:
            raise TrainingCancelled("Every training that waited for the dataset was cancelled.")
        return there

    def _join(self, training_id: str, total: int) -> Ticker | None:
        start = partial(self._worker.board.start, training_id, State.PREPARING, total)
        if self._enter(training_id) and self._told(training_id, start):
            return Ticker(self._worker.board, training_id)
        return None

    def _enter(self, training_id: str) -> bool:
        trainings = self._worker.stores.trainings
        change = methodcaller("enter", State.PREPARING)
        return self._told(training_id, partial(trainings.update, training_id, change))

    def _told(self, training_id: str, tell: Callable[[], object]) -> bool:
        """Tell a training something, and whether that could be done."""
        try:
            tell()
        except (TrainingEnded, NotFound):
            return False
        except Exception as error:  # noqa: BLE001 - it concerns that training alone, whose next step reports it
            log.warning(
                "a waiting training could not be updated",
                training_id=training_id,
                reason=in_words(error),
            )
            return False
        return True

    def _open(self) -> list[str]:
        """Return the trainings that still wait, and forget the others."""
        found = []
        for training_id in self._waiting.ids():
            if self._is_open(training_id):
                found.append(training_id)
            else:
                self._waiting.discard(training_id)
        return found

    def _is_open(self, training_id: str) -> bool:
        trainings = self._worker.stores.trainings
        try:
            record = trainings.get(training_id)
            if record.cancel_requested and not record.state.ended:
                record = end(trainings, training_id, State.CANCELLED)
        except (OSError, Unavailable):  # its record can't be read just now
            return True
        except HeadstartError:  # removed, or unreadable
            return False
        return is_before_plan(record.state)
