"""Keeps what a pass over a source has found, so that its images are read only once.

A pass works in a directory of its own within the dataset's. Only what is complete is moved into
place, so that a pass that fails leaves what an earlier one has found.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.files import sync_directory
from shared.identifiers import new_id
from trainer_service.datasets.interpretation.interpret import Labelled
from trainer_service.datasets.records import IMAGES_FOLDER, RECORDS_FILE, save_images
from trainer_service.datasets.scan.found import OTHERS_FILE, TABLES_FILE, Found, save_others
from trainer_service.datasets.scan.looks import LOOKS_FILE
from trainer_service.datasets.scan.verdicts import settle
from trainer_service.datasets.thumbnails.store import THUMBNAILS_FILE
from trainer_service.store.files.lease import LeaseWatch
from trainer_service.store.files.work_in_progress import (
    STAGING,
    directory_of,
    remove_if_abandoned,
    working_directory,
)

_KEPT = (IMAGES_FOLDER, THUMBNAILS_FILE, LOOKS_FILE, RECORDS_FILE, TABLES_FILE)


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """Make a directory for a pass; what is still in it at the end is removed.

    Those of killed workers are removed before, as there may not be room for two.
    """
    watch = LeaseWatch(math.inf)
    for path in directory.glob(f"{STAGING}*"):
        remove_if_abandoned(directory_of(path), watch)
    with working_directory(directory / f"{STAGING}{new_id()}") as made:
        yield made


def keep(staged: Path, directory: Path, found: Found) -> None:
    """Put what a pass has found in place of what is known of a dataset.

    Args:
        staged: where the pass has put images and thumbnails, and their records if they have labels.
        directory: that of the dataset.
        found: what the pass has found.
    """
    if not (staged / RECORDS_FILE).exists():
        save_images(staged, settle(found.notes, [Labelled("", None)] * len(found.notes)))
    save_others(staged, found)
    # It is there only together with all the rest.
    (directory / OTHERS_FILE).unlink(missing_ok=True)
    for name in _KEPT:
        _replace(staged / name, directory / name)
    sync_directory(directory)
    _replace(staged / OTHERS_FILE, directory / OTHERS_FILE)
    sync_directory(directory)


def keep_images(staged: Path, directory: Path) -> None:
    """Put what a pass keeps of images themselves in place of that of an earlier try."""
    for name in (IMAGES_FOLDER, THUMBNAILS_FILE, LOOKS_FILE):
        _replace(staged / name, directory / name)
    sync_directory(directory)


def is_kept(directory: Path) -> bool:
    """Return whether it is known what a pass has found, so that nothing has to be read again."""
    return (directory / OTHERS_FILE).exists() and (directory / RECORDS_FILE).exists()


def _replace(new: Path, old: Path) -> None:
    if old.is_dir():
        shutil.rmtree(old)
    if new.exists():
        new.replace(old)
    else:
        old.unlink(missing_ok=True)
