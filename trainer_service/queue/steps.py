"""The steps that can be on the queue: of trainings, datasets and comparisons."""

from typing import NamedTuple

PREPARE = "training.prepare"
COMPUTE_SHARD = "training.compute_shard"
FINISH = "training.finish"
READ_DATASET = "dataset.read"
ADVANCE = "comparison.advance"
TASKS = (PREPARE, COMPUTE_SHARD, FINISH, READ_DATASET, ADVANCE)

#: The priorities of steps, of which 0 comes first. Among steps of the same priority, the oldest
#: comes first. Celery's transport for Redis has ten priorities.
PRIORITIES = tuple(range(10))
#: The first 8 shards of a training have priority 1, the next 8 have priority 2, and so on.
SHARDS_IN_A_ROW = 8


class Step(NamedTuple):
    """A Celery task with its arguments; equal steps have the same id."""

    task: str
    arguments: tuple[str | int, ...]

    @property
    def id(self) -> str:
        """The id of the step on the queue."""
        return ":".join(map(str, (self.task, *self.arguments)))

    @property
    def priority(self) -> int:
        """The priority of the step.

        A training may have hundreds of shards. Later ones have a lower priority, so that no other
        training has to wait for all of them.
        """
        if self.task != COMPUTE_SHARD:
            return PRIORITIES[0]
        return min(1 + int(self.arguments[1]) // SHARDS_IN_A_ROW, PRIORITIES[-1])
