"""Which steps of a training come next, as follows from its record, dataset and shards alone."""

from trainer_service.phase_table import is_before_plan
from trainer_service.steps import COMPUTE_SHARD, FINISH, PREPARE, READ_DATASET, Step
from trainer_service.store.records.training_record import TrainingRecord
from trainer_service.store.shards import Shards


def next_steps(record: TrainingRecord, shards: Shards, *, waits: bool = False) -> list[Step]:
    """Return the next steps of a training that has not ended; shards can be computed in any order.

    Args:
        record: the record of the training.
        shards: its shards.
        waits: whether it waits for its dataset to be read.
    """
    if needs_plan(record, shards):
        if waits:
            return [Step(READ_DATASET, (record.dataset.id,))]
        return [Step(PREPARE, (record.id,))]
    unfinished = shards.unfinished()
    if unfinished:
        return [Step(COMPUTE_SHARD, (record.id, number)) for number in unfinished]
    return [Step(FINISH, (record.id,))]


def needs_plan(record: TrainingRecord, shards: Shards) -> bool:
    """Return whether the training's shards are still to be planned."""
    return is_before_plan(record.state) or shards.count() is None
