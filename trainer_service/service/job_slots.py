"""Limits how many trainings and datasets may wait or run at the same time."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from shared.errors import Unavailable
from shared.files import locked_briefly
from trainer_service.store.records.record_store import Record, RecordStore
from trainer_service.store.stores import Stores

RETRY_SECONDS = 60


def open_training_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Return a context in which a training may be created; only one process is in it at a time.

    Raises:
        Unavailable: `most` trainings or more have not ended.
    """
    return _slot(stores.trainings, "trainings", most)


def open_dataset_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Return a context in which a dataset may be queued, as `open_training_slot`.

    Datasets that are created with a training do not count here: they count as trainings.
    """
    return _slot(stores.datasets, "datasets", most)


@contextmanager
def _slot(records: RecordStore[Record], what: str, most: int) -> Iterator[None]:
    records.root.mkdir(parents=True, exist_ok=True)
    with locked_briefly(records.root / ".room.lock"):
        if sum(brief.waits for brief in records.briefs()) >= most:
            raise Unavailable(
                f"HEADSTART_MAX_OPEN_JOBS allows {most} {what} that wait or run. Wait for one to "
                "end, or cancel it.",
                retry_after=RETRY_SECONDS,
            )
        yield
