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
from trainer_service.phases.setbacks import Setbacks, hand_over, persevere
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import PREPARE, READ_DATASET, Step
from trainer_service.store.events.progress import Ticker
from trainer_service.store.files.lease import LeaseLost
from trainer_service.store.outcome import end, in_words
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.store.records.training_record import State
from trainer_service.store.waiting import WaitingTrainings

#: Seconds between two looks at the trainings that wait.
POLL_INTERVAL = 0.5

log = get_logger(__name__)


def read_dataset(worker: Worker, dataset_id: str) -> None:
    """Read a dataset and submit the trainings that wait for it.

    Nothing is done if nobody wants the dataset or another process reads it. All errors are written
    to the dataset's record or to the log; none is raised.
    """
    datasets = worker.stores.datasets
    try:
        audience = Audience(worker, datasets.get(dataset_id))
        if not audience.begin():
            reading.put_back(datasets, dataset_id)
            return
    except HeadstartError as error:
        # The search for lost steps submits the trainings that wait; `prepare` fails them in words.
        log.info("refused", reason=str(error))
        return
    if _read(audience):
        audience.submit()


def _read(audience: "Audience") -> bool:
    """Read a dataset; return whether the trainings that wait for it can go on.

    They can if it is read, and also if it can't be: then they fail and say why.
    """
    datasets, dataset_id = audience.worker.stores.datasets, audience.dataset_id
    found: list[DatasetRecord | None] = []
    try:
        if not persevere(audience, lambda: found.append(_read_once(audience))):
            hand_over(audience)
            return False
    except TransientFailure as error:  # no worker sees it
        reading.record_failure(datasets, dataset_id, error)
        Setbacks(audience.notes_directory).forget_all()
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
        return found[-1] is not None  # else the process that reads it submits them
    return _is_settled(audience)


def _is_settled(audience: "Audience") -> bool:
    """Return whether the record of a dataset says that it is read, or why it can't be.

    If not even that could be written, the search for lost steps has the dataset read again.
    """
    try:
        return not audience.worker.stores.datasets.get(audience.dataset_id).state.unread
    except HeadstartError:
        return False


def _read_once(audience: "Audience") -> DatasetRecord | None:
    """Read a dataset and return its record; None if another process reads it.

    An error of the machine is raised only while the record says that the dataset is still to be
    read, because only then can trying again help.
    """
    worker, dataset_id = audience.worker, audience.dataset_id
    datasets = worker.stores.datasets
    try:
        return reading.read(
            datasets, worker.settings, dataset_id, audience, audience.check_cancelled
        )
    except (OSError, MemoryError) as error:
        record = datasets.get(dataset_id)
        if record.state.unread:
            raise
        log.info("not read now", reason=in_words(error))
        return record


class Audience:
    """The trainings that wait for a dataset while it is read; some come, and some are cancelled.

    Calling it tells all of them how many images are done, and how many there are in all; it raises
    TrainingCancelled once nobody wants the dataset any more. An error that concerns one training is
    logged and keeps neither the dataset nor the other trainings from going on.

    Attributes:
        worker: the process that reads the dataset.
        dataset_id: the dataset.
        step: the step that reads it.
        notes_directory: where `phases.setbacks` notes what kept workers from reading it.
    """

    def __init__(self, worker: Worker, dataset: DatasetRecord) -> None:
        self.worker = worker
        self.dataset_id = dataset.id
        self.step = Step(READ_DATASET, (dataset.id,))
        self.notes_directory = worker.stores.datasets.directory(dataset.id)
        self._waiting = WaitingTrainings(self.notes_directory)
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

    def check_cancelled(self) -> None:
        """Look which trainings wait. Unlike all else, this may be called in any thread.

        Raises:
            TrainingCancelled: nobody wants the dataset any more.
        """
        self._wanted_by()

    def warn(self, reason: str) -> None:
        """Tell all trainings that wait why the dataset is not read yet."""
        for training_id in self._open():
            self._told(training_id, partial(self.worker.warn_of_setback, training_id, reason))

    def begin(self) -> bool:
        """Move all trainings that wait to "preparing"; return whether anybody wants the dataset."""
        waiting = self._open()
        for training_id in waiting:
            self._enter(training_id)
        return bool(waiting) or self._submitted

    def submit(self) -> None:
        """Submit the next step of all trainings that wait, those that have waited longest first."""
        for training_id in self._open():
            self.worker.queue.submit([Step(PREPARE, (training_id,))])
            self._waiting.discard(training_id)

    def _look(self, total: int) -> None:
        known = self._tickers
        self._tickers = {
            key: known[key] if key in known else self._join(key, total) for key in self._wanted_by()
        }

    def _wanted_by(self) -> list[str]:
        waiting = self._open()
        if not waiting and not self._submitted:
            raise TrainingCancelled("Every training that waited for the dataset was cancelled.")
        return waiting

    def _join(self, training_id: str, total: int) -> Ticker | None:
        start = partial(self.worker.board.start, training_id, State.PREPARING, total)
        if self._enter(training_id) and self._told(training_id, start):
            return Ticker(self.worker.board, training_id)
        return None

    def _enter(self, training_id: str) -> bool:
        trainings = self.worker.stores.trainings
        change = methodcaller("enter", State.PREPARING)
        return self._told(training_id, partial(trainings.update, training_id, change))

    def _told(self, training_id: str, tell: Callable[[], object]) -> bool:
        """Call `tell`, which writes to a training, and return whether that worked."""
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
        trainings = self.worker.stores.trainings
        try:
            record = trainings.get(training_id)
            if record.cancel_requested and not record.state.ended:
                record = end(trainings, training_id, State.CANCELLED)
        except (OSError, Unavailable):  # its record can't be read just now
            return True
        except HeadstartError:  # removed, or unreadable
            return False
        return is_before_plan(record.state)
