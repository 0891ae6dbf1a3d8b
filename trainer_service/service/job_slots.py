"""How many trainings and datasets may wait or run at the same time."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from shared.errors import Unavailable
from shared.files import locked_briefly
from trainer_service.store.records.record_store import Record, RecordStore
from trainer_service.store.stores import Stores

RETRY_SECONDS = 60


def open_training_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Let a training be made within the block, if fewer than `most` have not ended.

    Nobody else makes one meanwhile.

    Raises:
        Unavailable: as many have not.
    """
    return _room(stores.trainings, "trainings", most)


def open_dataset_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Let a dataset be made within the block; those made for trainings count as trainings."""
    return _room(stores.datasets, "datasets", most)


@contextmanager
def _room(records: RecordStore[Record], what: str, most: int) -> Iterator[None]:
    records.root.mkdir(parents=True, exist_ok=True)
    with locked_briefly(records.root / ".room.lock"):
        if sum(brief.waits for brief in records.briefs()) >= most:
            raise Unavailable(
                f"HEADSTART_MAX_OPEN_JOBS allows {most} {what} that wait or run. Wait for one to "
                "end, or cancel it.",
                retry_after=RETRY_SECONDS,
            )
        yield
