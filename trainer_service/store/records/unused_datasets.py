"""Which datasets a training is on: those are not removed."""

from trainer_service.store.stores import Stores


def delete_unused(stores: Stores, dataset_id: str) -> bool:
    """Remove a dataset unless it is being read or a training is on it; tell whether it was.

    Raises:
        NotFound: it has been removed meanwhile.
        RecordCorrupt: a training's record can't be read, so that nobody knows.
    """
    datasets = stores.datasets
    with datasets.lease(dataset_id) as held, datasets.locked(dataset_id):
        used = any(brief.dataset == dataset_id for brief in stores.trainings.every())
        if held is None or used:
            return False
        datasets.delete(dataset_id)
    return True


def users_of(stores: Stores, dataset_id: str) -> list[str]:
    """Return the ids of the trainings that have not ended and train on a dataset.

    Raises:
        RecordCorrupt: a training's record can't be read, so that nobody knows.
    """
    briefs = stores.trainings.every()
    return [brief.id for brief in briefs if brief.waits and brief.dataset == dataset_id]
