"""Which datasets are made of a dataset: a file for each, in the directory of that dataset.

    datasets/<parent>/children/<child id>      empty

The records of the children name their parent. But a child whose record is damaged may be repaired,
and needs its parent then: what counts is that there is a record.
"""

import os
from pathlib import Path

from shared.identifiers import is_id
from trainer_service.errors import RecordCorrupt
from trainer_service.store.records.record_store import RECORD_FILE

CHILDREN = "children"


def add_child(parent: Path, child_id: str) -> None:
    """Note a child of a dataset, given the dataset's directory; it may be noted already.

    Raises:
        RecordCorrupt: what should be the folder of its children is something else.
    """
    folder = parent / CHILDREN
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise _no_folder(parent) from None
    (folder / child_id).touch()


def children_of(parent: Path) -> list[str]:
    """Return the ids of the datasets that are made of one, oldest first, given its directory.

    Raises:
        RecordCorrupt: what should be the folder of its children is something else.
    """
    try:
        found = [file.name for file in (parent / CHILDREN).iterdir() if is_id(file.name)]
    except (FileNotFoundError, NotADirectoryError):
        if os.path.lexists(parent / CHILDREN):
            raise _no_folder(parent) from None
        return []
    return sorted(name for name in found if (parent.parent / name / RECORD_FILE).exists())


def _no_folder(parent: Path) -> RecordCorrupt:
    return RecordCorrupt(
        f"datasets/{parent.name}/{CHILDREN} should be a folder with an empty file for each dataset "
        "that was made of this one, named by its id. Received: something else. Replace it by "
        f"such a folder: these are the datasets whose `parent` is {parent.name!r}."
    )
