"""Trains in this process, without a broker, workers or HTTP: for scripts, notebooks and tests.

from trainer_service.inline import train_inline
from trainer_service.settings import TrainerSettings

settings = TrainerSettings(store="store", datasets="datasets", weights="weights")
record = train_inline(settings, model="pets", dataset={"path": "pets"})
print(record.state, record.version, record.metrics)
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from shared.identifiers import new_id
from trainer_service import training
from trainer_service.comparisons.advance import advance
from trainer_service.phases.prepare import reading_step
from trainer_service.phases.work import Worker
from trainer_service.queue.steps import ADVANCE, COMPUTE_SHARD, FINISH, PREPARE, READ_DATASET, Step
from trainer_service.queue.task_queue import TaskQueue
from trainer_service.requests.comparison import ComparisonRequest
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.requests.training import TrainingRequest
from trainer_service.service import comparison_submission, submission
from trainer_service.service.endings import Endings
from trainer_service.service.event_streams import EventStreams
from trainer_service.service.pretrained import submit_pretrained
from trainer_service.service.trainer import Trainer
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.progress import ProgressBoard
from trainer_service.store.records.comparison_record import ComparisonRecord
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.stores import Stores


class InlineQueue(TaskQueue):
    """A queue in memory, which keeps the submitted steps until `run` is called."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()

    def _send(self, step: Step) -> None:
        self._steps.append(step)

    def run(self, worker: Worker) -> None:
        """Run all steps in order, including those that they submit."""
        functions: dict[str, Callable[..., None]] = {
            PREPARE: training.prepare,
            COMPUTE_SHARD: training.compute_shard,
            FINISH: training.finish,
            READ_DATASET: reading_step.read_dataset,
            ADVANCE: advance,
        }
        while self._steps:
            step = self._steps.popleft()
            functions[step.task](worker, *step.arguments)


def train_inline(settings: TrainerSettings, **fields: Any) -> TrainingRecord:
    """Run a training in this process.

    Args:
        settings: where the store, the datasets and the weights are; Redis is not needed.
        fields: the fields of a `TrainingRequest`.

    Returns:
        The training's record once it has ended; if it failed, `error` has the reason.

    Raises:
        InvalidRequest, WeightsUnavailable: the request is not valid, or its dataset or weights
            are not available.
    """
    queue = InlineQueue()
    trainer = _trainer(settings, queue)
    record = submission.submit_training(trainer, TrainingRequest(**fields), None, new_id())
    queue.run(Worker(settings, trainer.stores, trainer.board, queue))
    return trainer.stores.trainings.get(record.id)


def compare_inline(settings: TrainerSettings, **fields: Any) -> ComparisonRecord:
    """Run a comparison in this process.

    Args:
        settings: as those of `train_inline`.
        fields: the fields of a `ComparisonRequest`.

    Returns:
        The comparison's record once it has ended; if it failed, `error` has the reason.

    Raises:
        InvalidRequest, WeightsUnavailable: the request is not valid, or its dataset or weights
            are not available.
    """
    queue = InlineQueue()
    trainer = _trainer(settings, queue)
    request = ComparisonRequest(**fields)
    record = comparison_submission.submit_comparison(trainer, request, None, new_id())
    queue.run(Worker(settings, trainer.stores, trainer.board, queue))
    return trainer.stores.comparisons.get(record.id)


def publish_pretrained_inline(settings: TrainerSettings, **fields: Any) -> TrainingRecord:
    """Publish a pre-trained network as it is, in this process.

    Args:
        settings: where the store and the weights are; Redis is not needed.
        fields: the fields of a `PretrainedRequest`.

    Returns:
        The record once the job has ended; if it failed, `error` has the reason.

    Raises:
        InvalidRequest, WeightsUnavailable: the request is not valid, or the weights are not
            available.
    """
    queue = InlineQueue()
    trainer = _trainer(settings, queue)
    record = submit_pretrained(trainer, PretrainedRequest(**fields))
    queue.run(Worker(settings, trainer.stores, trainer.board, queue))
    return trainer.stores.trainings.get(record.id)


def _trainer(settings: TrainerSettings, queue: TaskQueue) -> Trainer:
    stores = Stores.open(settings)
    return Trainer(
        settings,
        stores,
        ProgressBoard(stores.events),
        queue,
        EventStreams(stores.events, settings.redis_url),
        Endings(stores.trainings),
        EventStreams(stores.comparison_events, settings.redis_url),
        Endings(stores.comparisons),
    )
