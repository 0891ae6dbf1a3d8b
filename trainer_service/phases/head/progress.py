"""The progress of a head's training: its events, and requests to stop or cancel it."""

import math
from dataclasses import asdict
from typing import Self

from shared.models.manifest import NearInfo
from trainer_service.phases.head.regression.search import PathStep
from trainer_service.phases.work import Work
from trainer_service.store.events.events import EpochEvent, StrengthEvent
from trainer_service.store.events.progress import HeadReport, Ticker
from trainer_service.store.records.training_record import State


class HeadProgress:
    """Reports the steps of a head's training, which are epochs or attempts.

        with HeadProgress(work, request.epochs) as progress:
            ...
            if progress.epoch(number, values):
                break

    Once it has ended, early or not, as many steps are announced as there were.

    Args:
        work: the training.
        total: the number of steps, at most. Near an earlier choice there may be more, where the
            best is found farther from it.
        near: that choice, if heads are searched near one.
    """

    def __init__(self, work: Work, total: int, near: NearInfo | None = None) -> None:
        self._work = work
        self._total = total
        self._near = near.training if near else None
        self._number = 0
        self._ticker = Ticker(work.worker.board, work.record.id)
        self._report = HeadReport(work.worker.stores.events, work.record.id)
        work.worker.board.start(work.record.id, State.HEAD, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._report.flush()
        if kind is None and self._number < self._total:
            self._ticker(self._number, last=True, total=self._number)

    def epoch(self, number: int, values: dict[str, float]) -> bool:
        """Report an epoch, and return whether a client has asked the training to stop.

        Raises:
            TrainingCancelled: the training was cancelled.
        """
        numbers = {name: one if math.isfinite(one) else None for name, one in values.items()}
        return self._done(number, EpochEvent(epoch=number, epochs=self._total, **numbers))

    def attempt(self, step: PathStep) -> bool:
        """Report a strength that was tried, and return whether a client has asked to stop.

        Raises:
            TrainingCancelled: the training was cancelled.
        """
        number = self._number + 1
        self._total = max(self._total, number)
        event = StrengthEvent(attempt=number, attempts=self._total, near=self._near, **asdict(step))
        return self._done(number, event)

    def _done(self, number: int, event: EpochEvent | StrengthEvent) -> bool:
        self._work.check_cancelled()
        self._number = number
        self._report(event)
        self._ticker(number, last=number == self._total)
        return self.stops()

    def stops(self) -> bool:
        """Return whether a client wants no more steps than there were."""
        stop_after = self._work.check_cancelled.stop_after
        return stop_after is not None and self._number >= stop_after
