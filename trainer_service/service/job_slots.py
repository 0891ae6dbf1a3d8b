"""Limits how many trainings and datasets may wait or run at the same time."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from shared.errors import Unavailable
from shared.files import locked_briefly
from trainer_service.store.records.record_store import RecordStore
from trainer_service.store.stores import Stores

RETRY_SECONDS = 60


def open_training_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Return a context in which a training or a comparison may be created.

    Only one process is in it at a time. A comparison counts as one, with all of its trainings.

    Raises:
        Unavailable: `most` trainings and comparisons or more have not ended.
    """
    return _slot((stores.trainings, stores.comparisons), "trainings and comparisons", most)


def open_dataset_slot(stores: Stores, most: int) -> AbstractContextManager[None]:
    """Return a context in which a dataset may be queued, as `open_training_slot`.

    Datasets that are created with a training do not count here: they count as trainings.
    """
    return _slot((stores.datasets,), "datasets", most)


@contextmanager
def _slot(records: Sequence[RecordStore[Any]], what: str, most: int) -> Iterator[None]:
    root = records[0].root
    root.mkdir(parents=True, exist_ok=True)
    with locked_briefly(root / ".room.lock"):
        briefs = (brief for store in records for brief in store.briefs())
        if sum(brief.waits and not brief.member for brief in briefs) >= most:
            raise Unavailable(
                f"HEADSTART_MAX_OPEN_JOBS allows {most} {what} that wait or run. Wait for one to "
                "end, or cancel it.",
                retry_after=RETRY_SECONDS,
            )
        yield
