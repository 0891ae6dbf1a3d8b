"""The pictures of a dataset, as this worker sees them."""

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shared.errors import InvalidImage
from shared.files import is_fault_of_the_file, open_below
from trainer_service.errors import Setback
from trainer_service.store.shards import ImagesLost


class NotSeenHere(Setback):
    """A directory that other workers may see: nothing is known of what lies in it."""

    title = "Not seen here"


class ImageLost(InvalidImage):
    """The file of a used image is gone, or holds something else than when it was read."""

    def __init__(self, detail: str) -> None:
        super().__init__("unreadable", detail)


class Place(NamedTuple):
    """A directory in which images lie.

    Attributes:
        root: what their names are relative to.
        setting: the setting that tells this worker where the root lies.
        folder: the directory that has to be there: the root, or one below it.
    """

    root: Path
    setting: str
    folder: Path


class ImageFiles:
    """The files of a dataset's used images.

    Args:
        places: where they lie: a single place under an empty name, or several under the names with
            which those of the images begin.
        max_bytes: the size of the largest image.
    """

    def __init__(self, places: Mapping[str, Place], max_bytes: int) -> None:
        self._places = places
        self._max_bytes = max_bytes

    def read(self, name: str, sha256: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            ImageLost: the file is gone, or others may not read it, or it has changed.
            OSError: the machine can't read it now; that says nothing of the file.
        """
        try:
            data = self._read(name)
        except OSError as error:
            if not is_fault_of_the_file(error):
                raise
            raise ImageLost(f"The file can't be read: {error.strerror}.") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ImageLost("The file has changed since the dataset was read.")
        return data

    def require(self) -> None:
        """Check that the images' directories can be seen, so that a missing file says something.

        Raises:
            NotSeenHere: one can't.
        """
        for place in self._places.values():
            try:
                os.close(os.open(place.folder, os.O_RDONLY | os.O_DIRECTORY))
            except OSError as error:
                raise not_seen(place.setting, place.folder, error.strerror) from None

    def _read(self, name: str) -> bytes:
        owner, file_name = ("", name) if "" in self._places else split_owner(name)
        if owner not in self._places:
            raise FileNotFoundError(errno.ENOENT, "no dataset has it", name)
        with open_below(self._places[owner].root, file_name) as file:
            too_large = os.fstat(file.fileno()).st_size > self._max_bytes
            return b"" if too_large else file.read()


def split_owner(name: str) -> tuple[str, str]:
    """Return the dataset that keeps an image, and the image's name there.

    Args:
        name: `ImageRecord.file` in a dataset that was made of another one.
    """
    owner, _, rest = name.partition("/")
    return owner, rest


def not_seen(setting: str, expected: Path, reason: str | None) -> NotSeenHere:
    return NotSeenHere(
        f"{setting}: this worker can't see the images of the dataset. Expected them in "
        f"{str(expected)!r}. Received: {reason}"
    )


def none_left(files: ImageFiles, wanted: int) -> Setback:
    """Return the error for a step that can read none of the images that it needs.

    Raises:
        NotSeenHere: their folder can't be seen.
    """
    files.require()
    return ImagesLost(
        f"All {wanted} images that were to be read again are gone, or have changed, since the "
        "dataset was read."
    )
