"""Which trainings wait for a dataset to be read: a file for each, in the dataset's directory.

    datasets/<id>/waiting/<training id>      empty

The records of the trainings are the truth. These files are an index of them: without it, the worker
that has read a dataset would have to search all records for trainings on it.
"""

from contextlib import suppress
from pathlib import Path

from shared.identifiers import is_id
from trainer_service.store.files.removal import remove_tree

WAITING = "waiting"


class WaitingTrainings:
    """The trainings that wait for one dataset.

    Args:
        directory: the directory of the dataset.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / WAITING

    def add(self, training_id: str) -> None:
        """Note a training; what is in the place of the folder is removed, as it is but an index."""
        try:
            self._directory.mkdir(exist_ok=True)
        except FileExistsError:
            remove_tree(self._directory)
            self._directory.mkdir(exist_ok=True)
        (self._directory / training_id).touch()

    def discard(self, training_id: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            (self._directory / training_id).unlink()

    def ids(self) -> list[str]:
        """Return the ids of the trainings, the one that has waited longest first."""
        found = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for file in self._directory.iterdir():
                with suppress(FileNotFoundError):
                    found.append((file.stat().st_mtime_ns, file.name))
        return [name for _, name in sorted(found) if is_id(name)]

    def __contains__(self, training_id: str) -> bool:
        return (self._directory / training_id).exists()
