"""Finds the steps that got lost and submits them again.

The store tells which steps come next, leases which of them are worked on, and Redis which wait on
the queue. A step that is in neither place for a while was lost: with the worker that had it, with
a Redis that was emptied, or because Redis was away when it was to be submitted.
"""

import os
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path

from redis import RedisError

from shared.errors import NotFound, Unavailable
from shared.logs import get_logger
from trainer_service.phase_table import next_steps
from trainer_service.queue.task_queue import TaskQueue, trouble
from trainer_service.queue.view import QueueView
from trainer_service.steps import COMPUTE_SHARD, READ_DATASET, Step
from trainer_service.store.lease import LeaseWatch
from trainer_service.store.outcome import in_words
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.record_store import Record, RecordStore
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.shards import Shards
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import UNREAD, WaitingTrainings
from trainer_service.store.work_metrics import STEPS_LOST

#: A search every so many parts of the lease, and a step is lost when it is missing for as long.
SEARCHES_PER_LEASE = 4

log = get_logger(__name__)


class LostSteps:
    """One look at everything; keep it, as what is lost shows by being missing twice.

    What can't be looked at is left out and logged, once for each reason, and keeps nothing else.

    Args:
        stores: the records and their leases.
        view: what waits on the queue.
        queue: where lost steps are submitted.
        lease_seconds: without a heartbeat, after which a worker is taken for gone.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        stores: Stores,
        view: QueueView,
        queue: TaskQueue,
        lease_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = lease_seconds / SEARCHES_PER_LEASE
        self._stores = stores
        self._view = view
        self._queue = queue
        self._clock = clock
        self._watch = LeaseWatch(lease_seconds, clock)
        self._missing_since: dict[str, float] = {}
        self._left_out: dict[Path, str] = {}
        self._told: str | None = None

    def __call__(self) -> list[Step]:
        """Submit what is lost and return it, oldest first; while Redis is away that is nothing."""
        try:
            lost = self._lost(list(dict.fromkeys(self._idle_steps())))
            if not lost or not self._view.claim(self.interval):
                return []
            # Another process may have looked since.
            queued = self._view.steps()
            lost = [step for step in lost if step.id not in queued]
            self._queue.submit(lost)
        except (RedisError, Unavailable) as error:
            self._tell(trouble(error) if isinstance(error, RedisError) else error.detail)
            return []
        self._told = None
        for step in lost:
            log.warning("lost and submitted again", step=step.id)
            del self._missing_since[step.id]
        STEPS_LOST.inc(len(lost))
        return lost

    def _tell(self, reason: str) -> None:
        """Log what keeps lost steps from being submitted, once until it is over."""
        if self._told != reason:
            log.warning("lost steps are submitted later", reason=reason)
        self._told = reason

    def _lost(self, idle: list[Step]) -> list[Step]:
        """Return the steps that have been neither worked on nor queued for an interval."""
        queued = self._view.steps() if idle else set()
        missing = [step for step in idle if step.id not in queued]
        now = self._clock()
        self._missing_since = {step.id: self._missing_since.get(step.id, now) for step in missing}
        return [step for step in missing if now - self._missing_since[step.id] >= self.interval]

    def _idle_steps(self) -> Iterator[Step]:
        """Yield the next steps that nobody works on, those of the oldest training first."""
        datasets, trainings = self._stores.datasets, self._stores.trainings
        held: dict[str, bool] = {}
        for dataset in self._open(datasets, lambda state: state not in UNREAD):
            with self._alone(datasets.directory(dataset.id)):
                # Looked at in any case: looking is what breaks the lease of a holder that is gone.
                held[dataset.id] = self._watch.held(datasets.lease_file(dataset.id))
                left = dataset.state == DatasetState.READING
                if (dataset.submitted or left) and not held[dataset.id]:
                    yield Step(READ_DATASET, (dataset.id,))
        for training in self._open(trainings, lambda state: State(state).ended):
            with self._alone(trainings.directory(training.id)):
                yield from self._idle_steps_of(training, held)
        self._watch.prune()
        for directory in [left for left in self._left_out if not os.path.lexists(left)]:
            del self._left_out[directory]

    @contextmanager
    def _alone(self, directory: Path) -> Iterator[None]:
        """Keep what is wrong with one record from all others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked at
            reason = in_words(error)
            if self._left_out.get(directory) != reason:
                self._left_out[directory] = reason
                log.warning(
                    "left out of the search for lost steps", directory=str(directory), reason=reason
                )

    def _idle_steps_of(self, training: TrainingRecord, held: dict[str, bool]) -> Iterator[Step]:
        """Yield those of a training.

        Args:
            training: the record of the training.
            held: the datasets that are not read yet, with whether somebody reads them.
        """
        trainings = self._stores.trainings
        shards = Shards(trainings.directory(training.id))
        if self._watch.held(trainings.lease_file(training.id)):
            return
        for step in next_steps(training, shards, waits=self._waits(training, held)):
            if step.task == READ_DATASET and held[training.dataset.id]:
                continue
            if step.task == COMPUTE_SHARD:
                number = int(step.arguments[1])
                if self._watch.held(shards.lease_file(number)):
                    continue
            yield step

    def _waits(self, training: TrainingRecord, unread: Container[str]) -> bool:
        if training.dataset.id not in unread:
            return False
        return training.id in WaitingTrainings(self._stores.datasets.directory(training.dataset.id))

    def _open(self, records: RecordStore[Record], ended: Callable[[str], bool]) -> list[Record]:
        """Return the records that have not ended, oldest first; those that have are read once."""
        found: list[Record] = []
        for brief in sorted(records.briefs(), key=attrgetter("created_at")):
            if ended(brief.state):
                continue
            with self._alone(records.directory(brief.id)), suppress(NotFound):
                found.append(records.get(brief.id))
        return found
