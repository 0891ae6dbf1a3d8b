"""Which trainings wait for a dataset to be read: a file for each, in the dataset's directory.

    datasets/<id>/waiting/<training id>      empty

That a training is to be prepared is told by its record. These files only spare whoever reads a
dataset to look through all records, again and again, for those that are concerned.
"""

from contextlib import suppress
from pathlib import Path

from shared.identifiers import is_id
from trainer_service.store.records.dataset_record import DatasetRecord, DatasetState

WAITING = "waiting"
UNREAD = frozenset({DatasetState.QUEUED, DatasetState.READING})


class WaitingTrainings:
    """The trainings that wait for one dataset.

    Args:
        directory: that of the dataset.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / WAITING

    def add(self, training_id: str) -> None:
        self._directory.mkdir(exist_ok=True)
        (self._directory / training_id).touch()

    def discard(self, training_id: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            (self._directory / training_id).unlink()

    def ids(self) -> list[str]:
        """Return their ids, those first that have waited longest."""
        found = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for file in self._directory.iterdir():
                with suppress(FileNotFoundError):
                    found.append((file.stat().st_mtime_ns, file.name))
        return [name for _, name in sorted(found) if is_id(name)]

    def __contains__(self, training_id: str) -> bool:
        return (self._directory / training_id).exists()


def must_be_read(dataset: DatasetRecord) -> bool:
    """Return whether a dataset still has to be read; a failed one is queued again to be read."""
    return dataset.state in UNREAD
