"""What lies on the queue: the steps of trainings, and datasets to read."""

from typing import NamedTuple

PREPARE = "training.prepare"
EXTRACT_SHARD = "training.extract_shard"
FINISH = "training.finish"
READ_DATASET = "dataset.read"
TASKS = (PREPARE, EXTRACT_SHARD, FINISH, READ_DATASET)


#: Of what waits, the steps of the first of these are taken first; within one, the oldest.
SHORT, LONG = PRIORITIES = (0, 1)


class Step(NamedTuple):
    """A Celery task with its arguments, which together are also its id on the queue."""

    task: str
    arguments: tuple[str | int, ...]

    @property
    def id(self) -> str:
        return ":".join(map(str, (self.task, *self.arguments)))

    @property
    def priority(self) -> int:
        """A training may have hundreds of shards; other steps don't wait for all of them."""
        return LONG if self.task == EXTRACT_SHARD else SHORT
