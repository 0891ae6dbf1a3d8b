"""Which datasets are made of a dataset: a file for each, in the directory of that dataset.

    datasets/<parent>/children/<child id>      empty

The records of the children name their parent. But a child whose record is damaged may be repaired,
and needs its parent then: what counts is that there is a record.
"""

from contextlib import suppress
from pathlib import Path

from shared.identifiers import is_id
from trainer_service.store.records.record_store import RECORD_FILE

CHILDREN = "children"


def add_child(parent: Path, child_id: str) -> None:
    """Note a child of a dataset, given the dataset's directory; it may be noted already."""
    (parent / CHILDREN).mkdir(exist_ok=True)
    (parent / CHILDREN / child_id).touch()


def children_of(parent: Path) -> list[str]:
    """Return the ids of the datasets that are made of one, oldest first, given its directory."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError):
        found = [file.name for file in (parent / CHILDREN).iterdir() if is_id(file.name)]
    return sorted(name for name in found if (parent.parent / name / RECORD_FILE).exists())
