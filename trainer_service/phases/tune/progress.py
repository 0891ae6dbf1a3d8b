"""The progress of tuning: its events, and requests to stop or cancel it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from shared.errors import HeadstartError
from shared.files import is_disk_full
from shared.logs import get_logger
from shared.models.manifest import TuneMeasure
from trainer_service.phases.head.layers.best_epoch import Epoch
from trainer_service.phases.tune.estimate import Estimate
from trainer_service.phases.tune.tuning import TuningStopped
from trainer_service.phases.work import Work
from trainer_service.store.events.events import TuneEpochEvent, WarningEvent
from trainer_service.store.events.progress import HeadReport, Ticker
from trainer_service.store.outcome import in_words
from trainer_service.store.records.training_record import State, TuneStep

log = get_logger(__name__)


class TuneProgress:
    """Reports how far tuning is.

    Args:
        work: the training.
        epochs: how many epochs there are at most.
    """

    def __init__(self, work: Work, epochs: int) -> None:
        self._work = work
        self._epochs = epochs
        self._ticker = Ticker(work.worker.board, work.record.id)
        self._report = HeadReport(work.worker.stores.events, work.record.id)
        self._total = 0
        self._frozen: TuneMeasure | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _unless_full():
            self._report.flush()

    def check(self) -> None:
        """Check whether the training is to go on.

        Raises:
            TuningStopped: a client wants no more tuning.
            TrainingCancelled: the training was cancelled.
            LeaseLost: another process has taken over.
        """
        self._work.check_cancelled()
        if self._work.check_cancelled.stop_tuning:
            raise TuningStopped

    def start(self, step: TuneStep, total: int) -> None:
        """Begin a step, in which so much is to be done."""
        self._total = total
        self._work.worker.board.start(self._work.record.id, State.TUNING, total, step)

    def expect(self, total: int) -> None:
        """Set how much there is to be done in this step, once that is known."""
        self._total = total

    def advance(self, done: int) -> None:
        """Report how much of the step is done."""
        self._ticker(done, last=done == self._total, total=self._total)

    def measured(self, frozen: dict[str, float]) -> None:
        """Keep how good the network is before: each epoch tells it."""
        self._frozen = TuneMeasure(**frozen)

    def epoch(self, number: int, values: Epoch, best: bool) -> None:  # noqa: FBT001
        """Report an epoch; if the disk is full, together with the next one.

        Raises:
            LeaseLost: another process has taken over.
        """
        self._work.held.raise_if_lost()
        numbers = {name: one if math.isfinite(one) else None for name, one in values.items()}
        told = {"epoch": number, "epochs": self._epochs, "best": best, "frozen": self._frozen}
        with _unless_full():
            self._report(TuneEpochEvent(**told, **numbers))

    def unkept(self, number: int, error: OSError) -> None:
        """Tell that the state after an epoch can't be written; once, as that may last."""
        warning = WarningEvent(
            code="tune_unkept",
            detail=f"The state of tuning after epoch {number} could not be written: "
            f"{in_words(error)}. Tuning goes on, and tries again after each epoch. Until that "
            "succeeds, a worker that is killed loses more than one epoch.",
        )
        with suppress(OSError, HeadstartError):  # the log has the reason, too
            self._work.worker.stores.events.append_once(self._work.record.id, warning)

    def estimate(self, found: Estimate) -> None:
        """Tell how long it will take; with a warning if that is long."""
        log = self._work.worker.stores.events
        log.append(self._work.record.id, [found.event])
        if found.warning:
            log.append_once(
                self._work.record.id, WarningEvent(code="tune_slow", detail=found.warning)
            )


@contextmanager
def _unless_full() -> Iterator[None]:
    """End the body if the disk is full: an event is not worth what was tuned."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        log.warning("an epoch is not told now", reason=str(error))
