"""Finds the image that a cell of a table names."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from shared.images.formats import KNOWN_SUFFIXES
from trainer_service.datasets.records import MAX_NAME


class Found(NamedTuple):
    """The images that a cell may name, by their positions; several if it is ambiguous.

    Attributes:
        images: the positions.
        strict: whether the folders in the cell are those of the images, as far as both go.
    """

    images: Sequence[int]
    strict: bool


_NOTHING = Found((), strict=False)


class ImageIndex:
    """The images of a dataset, to be found by what tables call them.

    A cell names an image by its file name, with or without its suffix, in any case. Folders in
    front tell apart images whose file name is the same.

    Args:
        names: the paths of the images, with composed letters.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._by_file: defaultdict[str, list[int]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(names):
            file = name.lower().rpartition("/")[2]
            self._by_file[file].append(index)
            self._by_stem[file.rpartition(".")[0] or file].append(index)

    def find(
        self, cell: str, folder: str = "", prefers: Callable[[int], bool] | None = None
    ) -> Found:
        """Return the images that a cell names.

        Args:
            cell: a file name, a path, or a URL.
            folder: that of the table; images below it come before others.
            prefers: tells of an image whether it comes before others that are as likely.
        """
        if not cell or len(cell) > MAX_NAME:
            return _NOTHING
        cell = unicodedata.normalize("NFC", cell)
        found = self._find(cell, folder, prefers)
        if not found.images and "%" in cell:
            cell = unicodedata.normalize("NFC", unquote(cell))
            found = self._find(cell, folder, prefers)
        return found

    def _find(self, cell: str, folder: str, prefers: Callable[[int], bool] | None) -> Found:
        if "://" in cell:
            cell = cell.partition("?")[0].partition("#")[0]
        path = "/".join(p for p in cell.replace("\\", "/").split("/") if p not in {"", "."})
        above, _, file = path.lower().rpartition("/")
        called = self._called(file)
        fitting: Sequence[int] = ()
        for images in called:
            fitting = [i for i in images if _fits(self._folder(i), above)] if above else images
            if fitting:
                break
        if len(fitting) == 1 and not above:
            return Found(fitting, strict=True)
        if not fitting:
            loose = called[0] if called else ()
            return Found(loose if len(loose) == 1 else (), strict=False)
        tests: list[Callable[[int], bool]] = [
            lambda i: _fits_whole(self._folder(i), above, folder.lower()),
            lambda i: self._names[i].rpartition("/")[2] == path.rpartition("/")[2],
            lambda i: not folder or self._names[i].startswith(f"{folder}/"),
        ]
        return Found(_narrowed(fitting, [*tests, *([prefers] if prefers else [])]), strict=True)

    def _called(self, file: str) -> list[list[int]]:
        """Return the images of a file name, the likeliest first: the whole one, or its stem."""
        stem, _, suffix = file.rpartition(".")
        other = self._by_stem.get(stem) if stem and f".{suffix}" in KNOWN_SUFFIXES else None
        found = (self._by_file.get(file), self._by_stem.get(file), other)
        return [images for images in found if images]

    def _folder(self, index: int) -> str:
        return self._names[index].lower().rpartition("/")[0]


def _narrowed(images: Sequence[int], tests: Iterable[Callable[[int], bool]]) -> Sequence[int]:
    for test in tests:
        if len(images) == 1:
            break
        images = [image for image in images if test(image)] or images
    return images


def _fits(folder: str, said: str) -> bool:
    """Return whether one of two paths is the end of the other."""
    return f"/{folder}".endswith(f"/{said}") or f"/{said}".endswith(f"/{folder}")


def _fits_whole(folder: str, said: str, of_table: str) -> bool:
    return folder in {said, f"{of_table}/{said}".strip("/")}
