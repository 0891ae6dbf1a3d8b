"""Which datasets trainings use, and the removal of unused ones."""

from trainer_service.store.children import children_of
from trainer_service.store.stores import Stores


def delete_unused(stores: Stores, dataset_id: str) -> bool:
    """Remove a dataset unless it is being read or is used; return whether it was removed.

    A training uses it, a comparison, or a dataset that was made of it.

    Raises:
        NotFound: it was removed meanwhile.
        RecordCorrupt: a training's record can't be read, so it is not known which dataset it uses;
            or it is not known which datasets were made of it.
    """
    datasets = stores.datasets
    with datasets.lease(dataset_id) as held, datasets.locked(dataset_id):
        used = dataset_id in stores.used_datasets()
        if held is None or used or children_of(datasets.directory(dataset_id)):
            return False
        datasets.delete(dataset_id)
    return True


def users_of(stores: Stores, dataset_id: str) -> list[str]:
    """Return the ids of the trainings and comparisons that use a dataset and have not ended.

    Raises:
        RecordCorrupt: a training's record can't be read, so it is not known which dataset it uses.
    """
    return [brief.id for brief in stores.open_jobs() if brief.dataset == dataset_id]
