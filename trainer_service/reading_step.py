"""The step that reads a dataset, for itself and for all trainings that wait for it."""

import time

from shared.errors import HeadstartError, NotFound, TrainingCancelled, TrainingEnded
from shared.lease import LeaseLost
from shared.logs import get_logger
from trainer_service import reading
from trainer_service.outcome import end
from trainer_service.progress import Ticker
from trainer_service.schemas import DatasetRecord, State, TrainingRecord
from trainer_service.steps import PREPARE, READ_DATASET, Step
from trainer_service.waiting import WaitingTrainings, must_be_read
from trainer_service.worker_context import Worker

#: Seconds between two looks at the trainings that wait.
LOOK_INTERVAL = 0.5

log = get_logger(__name__)


def read_dataset(worker: Worker, dataset_id: str) -> None:
    """Read a dataset unless another process is at it, and submit what waits for it."""
    audience = Audience(worker, dataset_id)
    audience.begin()
    if _read(worker, dataset_id, audience):
        audience.submit()


def _read(worker: Worker, dataset_id: str, audience: "Audience") -> bool:
    """Tell whether something has come of it, if only that nobody wants it."""
    datasets = worker.stores.datasets
    try:
        # None: whoever is at it submits what waits.
        return reading.read(datasets, worker.settings, dataset_id, audience) is not None
    except TrainingCancelled as cancelled:
        log.info("left unread", reason=str(cancelled))
        return True
    except LeaseLost as lost:
        log.warning("left to another worker", reason=str(lost))
        return False
    except (HeadstartError, OSError) as error:
        log.info("refused", reason=str(error))
    except Exception:
        log.exception("not read")
    try:
        # If even that could not be written down, the sweep has it tried again.
        return not must_be_read(datasets.get(dataset_id))
    except HeadstartError:  # for the trainings to say
        return True


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

    Calling it raises TrainingCancelled once all that there were have gone, if nobody else wants it.
    """

    def __init__(self, worker: Worker, dataset_id: str) -> None:
        self._worker = worker
        self._waiting = WaitingTrainings(worker.stores.datasets.directory(dataset_id))
        self._dataset_id = dataset_id
        self._tickers: dict[str, Ticker] = {}
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._look(total)
            self._next = time.monotonic() + LOOK_INTERVAL
        for ticker in self._tickers.values():
            ticker(done, last=done == total, total=total)

    def begin(self) -> None:
        """Tell all that wait that it is their turn."""
        for training_id in self._open():
            self._enter(training_id)

    def submit(self) -> None:
        """Submit the next step of all that wait, those first that have waited longest."""
        for training_id in self._open():
            self._worker.submit.submit([Step(PREPARE, (training_id,))])
            self._waiting.discard(training_id)

    def _look(self, total: int) -> None:
        there = self._open()
        for training_id in there:
            if training_id not in self._tickers:
                self._join(training_id, total)
        if self._tickers and not there and not self._wanted().submitted:
            raise TrainingCancelled("Every training that waited for the dataset was cancelled.")
        self._tickers = {key: self._tickers[key] for key in there if key in self._tickers}

    def _join(self, training_id: str, total: int) -> None:
        if self._enter(training_id):
            self._worker.board.start(training_id, State.PREPARING, total)
            self._tickers[training_id] = Ticker(self._worker.board, training_id)

    def _enter(self, training_id: str) -> bool:
        """Tell whether it is still there to be told."""
        try:
            self._worker.stores.trainings.update(
                training_id, lambda record: record.enter(State.PREPARING)
            )
        except (TrainingEnded, NotFound):
            return False
        return True

    def _wanted(self) -> DatasetRecord:
        return self._worker.stores.datasets.get(self._dataset_id)

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
        except HeadstartError:  # removed, or unreadable
            return False
        return record.state in {State.QUEUED, State.PREPARING}
