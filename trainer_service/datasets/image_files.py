"""The pictures of a dataset, as this worker sees them."""

import hashlib
import os
from pathlib import Path

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


class ImageFiles:
    """The files of a dataset's used images.

    Args:
        root: what their names are relative to.
        setting: the setting that tells this worker where the root lies.
        max_bytes: the size of the largest image.
        folder: the directory that has to be there, if that is not the root.
    """

    def __init__(
        self, root: Path, setting: str, max_bytes: int, folder: Path | None = None
    ) -> None:
        self._root = root
        self._setting = setting
        self._max_bytes = max_bytes
        self._folder = folder or root

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
        """Check that the images' directory can be seen, so that a missing file says something.

        Raises:
            NotSeenHere: it can't.
        """
        try:
            os.close(os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY))
        except OSError as error:
            raise not_seen(self._setting, self._folder, error.strerror) from None

    def _read(self, name: str) -> bytes:
        with open_below(self._root, name) as file:
            too_large = os.fstat(file.fileno()).st_size > self._max_bytes
            return b"" if too_large else file.read()


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
