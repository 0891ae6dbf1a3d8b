"""How many trainings and datasets may wait or run at the same time."""

from shared.errors import Unavailable
from trainer_service.schemas import DatasetState
from trainer_service.stores import Stores

RETRY_SECONDS = 60


def require_room_for_training(stores: Stores, most: int) -> None:
    """Refuse a training if as many as may be have not ended.

    Requests at the very same moment may exceed it by their number.

    Raises:
        Unavailable: they have not.
    """
    _require("trainings", sum(not record.state.ended for record in stores.trainings.list()), most)


def require_room_for_dataset(stores: Stores, most: int) -> None:
    """Refuse a dataset likewise; those of trainings are counted with the trainings."""
    states = {DatasetState.QUEUED, DatasetState.READING}
    waiting = sum(record.submitted and record.state in states for record in stores.datasets.list())
    _require("datasets", waiting, most)


def _require(what: str, waiting: int, most: int) -> None:
    if waiting >= most:
        raise Unavailable(
            f"HEADSTART_MAX_OPEN_JOBS allows {most} {what} that wait or run. Wait for one to "
            "end, or cancel it.",
            retry_after=RETRY_SECONDS,
        )
