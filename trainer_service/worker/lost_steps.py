"""Finds the steps that got lost and submits them again.

Records show which steps come next, leases which of them a worker is running, and Redis which of
them are queued. A step that is neither running nor queued for a while is lost: its worker died,
Redis was emptied, or Redis could not be reached when the step should have been submitted.
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
from trainer_service.comparisons.decide import next_action
from trainer_service.comparisons.members import members_of
from trainer_service.phase_table import next_steps
from trainer_service.queue.steps import ADVANCE, COMPUTE_SHARD, READ_DATASET, Step
from trainer_service.queue.task_queue import TaskQueue, trouble
from trainer_service.queue.view import QueueView
from trainer_service.store.files.lease import LeaseWatch
from trainer_service.store.outcome import in_words
from trainer_service.store.records.comparison_record import ComparisonRecord, ComparisonState
from trainer_service.store.records.dataset_record import DatasetState
from trainer_service.store.records.record_store import Record, RecordStore
from trainer_service.store.records.training_record import State, TrainingRecord
from trainer_service.store.shards import Shards
from trainer_service.store.stores import Stores
from trainer_service.store.waiting import WaitingTrainings
from trainer_service.store.work_metrics import STEPS_LOST

#: Searches per `lease_seconds`. A step that is missing for the time between two is lost.
SEARCHES_PER_LEASE = 4

log = get_logger(__name__)


class LostSteps:
    """Searches for lost steps; call it every `interval` seconds.

    A step counts as lost if it is missing in two searches, so keep one instance for the lifetime of
    the process. A record that can't be examined is logged, once per reason, and left out.

    Args:
        stores: the records and their leases.
        view: the steps on the queue.
        queue: the queue to submit lost steps to.
        lease_seconds: time without a heartbeat after which a worker counts as gone.
        clock: a monotonic clock, in seconds.
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
        self._reported: str | None = None

    def __call__(self) -> list[Step]:
        """Submit the lost steps and return them, oldest first; none if Redis can't be used."""
        try:
            lost = self._lost(list(dict.fromkeys(self._idle_steps())))
            if not lost or not self._view.claim(self.interval):
                return []
            # Another process may have submitted them meanwhile.
            queued = self._view.steps()
            lost = [step for step in lost if step.id not in queued]
            self._queue.submit(lost)
        except (RedisError, Unavailable) as error:
            self._report(trouble(error) if isinstance(error, RedisError) else error.detail)
            return []
        self._reported = None
        for step in lost:
            log.warning("lost and submitted again", step=step.id)
            del self._missing_since[step.id]
        STEPS_LOST.inc(len(lost))
        return lost

    def _report(self, reason: str) -> None:
        """Log why lost steps can't be submitted now, unless that was logged last time."""
        if self._reported != reason:
            log.warning("lost steps are submitted later", reason=reason)
        self._reported = reason

    def _lost(self, idle: list[Step]) -> list[Step]:
        """Return the steps that have been neither running nor queued for an interval."""
        queued = self._view.steps() if idle else set()
        missing = [step for step in idle if step.id not in queued]
        now = self._clock()
        self._missing_since = {step.id: self._missing_since.get(step.id, now) for step in missing}
        return [step for step in missing if now - self._missing_since[step.id] >= self.interval]

    def _idle_steps(self) -> Iterator[Step]:
        """Yield the next steps that no worker runs: datasets first, then the oldest training."""
        datasets, trainings = self._stores.datasets, self._stores.trainings
        held: dict[str, bool] = {}
        for dataset in self._open(datasets, lambda state: not DatasetState(state).unread):
            with self._isolated(datasets.directory(dataset.id)):
                # Checked for every dataset: the check is what takes a lease from a dead holder.
                held[dataset.id] = self._watch.held(datasets.lease_file(dataset.id))
                left = dataset.state == DatasetState.READING
                if (dataset.submitted or left) and not held[dataset.id]:
                    yield Step(READ_DATASET, (dataset.id,))
        for training in self._open(trainings, lambda state: State(state).ended):
            with self._isolated(trainings.directory(training.id)):
                yield from self._idle_steps_of(training, held)
        for comparison in self._open(
            self._stores.comparisons, lambda state: ComparisonState(state).ended
        ):
            with self._isolated(self._stores.comparisons.directory(comparison.id)):
                yield from self._idle_step_of(comparison)
        self._watch.prune()
        for directory in [left for left in self._left_out if not os.path.lexists(left)]:
            del self._left_out[directory]

    @contextmanager
    def _isolated(self, directory: Path) -> Iterator[None]:
        """Log any error of the body, once per reason, so that other records are still examined."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - no error may stop the search
            reason = in_words(error)
            if self._left_out.get(directory) != reason:
                self._left_out[directory] = reason
                log.warning(
                    "left out of the search for lost steps", directory=str(directory), reason=reason
                )

    def _idle_steps_of(self, training: TrainingRecord, held: dict[str, bool]) -> Iterator[Step]:
        """Yield the next steps of a training that no worker runs.

        Args:
            training: the record of the training.
            held: by the id of each dataset that is still to be read, whether a worker reads it.
        """
        trainings = self._stores.trainings
        shards = Shards(trainings.directory(training.id))
        if self._watch.held(trainings.lease_file(training.id)):
            return
        for step in next_steps(training, shards, waits=self._waits(training, held)):
            if step.task == READ_DATASET and held[training.dataset.known_id]:
                continue
            if step.task == COMPUTE_SHARD:
                number = int(step.arguments[1])
                if self._watch.held(shards.lease_file(number)):
                    continue
            yield step

    def _idle_step_of(self, comparison: ComparisonRecord) -> Iterator[Step]:
        """Yield the step of a comparison that has something to do and no worker that does it."""
        stores = self._stores
        if self._watch.held(stores.comparisons.lease_file(comparison.id)):
            return
        if next_action(comparison, members_of(stores, comparison)) is not None:
            yield Step(ADVANCE, (comparison.id,))

    def _waits(self, training: TrainingRecord, unread: Container[str]) -> bool:
        dataset_id = training.dataset.id
        if dataset_id is None or dataset_id not in unread:
            return False
        return training.id in WaitingTrainings(self._stores.datasets.directory(dataset_id))

    def _open(self, records: RecordStore[Record], ended: Callable[[str], bool]) -> list[Record]:
        """Return the records that have not ended, oldest first.

        Args:
            records: the store of the records.
            ended: whether a record in this state has ended; such a record's file is not read.
        """
        found: list[Record] = []
        for brief in sorted(records.briefs(), key=attrgetter("created_at")):
            if ended(brief.state):
                continue
            with self._isolated(records.directory(brief.id)), suppress(NotFound):
                found.append(records.get(brief.id))
        return found
