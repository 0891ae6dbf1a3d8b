"""What lies on the queue: the steps of trainings, and datasets to read."""

from typing import NamedTuple

PREPARE = "training.prepare"
COMPUTE_SHARD = "training.compute_shard"
FINISH = "training.finish"
READ_DATASET = "dataset.read"
TASKS = (PREPARE, COMPUTE_SHARD, FINISH, READ_DATASET)


#: Of what waits, the steps of the first of these are taken first; within one, the oldest. Celery's
#: transport has ten.
PRIORITIES = tuple(range(10))
#: So many shards of each training have the same priority; the next ones have the next.
SHARDS_IN_A_ROW = 8


class Step(NamedTuple):
    """A Celery task with its arguments, which together are also its id on the queue."""

    task: str
    arguments: tuple[str | int, ...]

    @property
    def id(self) -> str:
        return ":".join(map(str, (self.task, *self.arguments)))

    @property
    def priority(self) -> int:
        """A training may have hundreds of shards: no other waits for all of them."""
        if self.task != COMPUTE_SHARD:
            return PRIORITIES[0]
        return min(1 + int(self.arguments[1]) // SHARDS_IN_A_ROW, PRIORITIES[-1])
