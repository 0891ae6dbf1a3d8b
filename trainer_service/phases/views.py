"""Views of an image: as it is, mirrored, and random crops of it in slightly other colours."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainer_service.requests.tune import Change

Pixels = npt.NDArray[np.uint8]

#: Increased with every change of what a view of the same number looks like.
VIEWS_VERSION = 1

#: The smallest part of each side that a crop has, and the smallest part of the area.
_LEAST_SIDE, _LEAST_AREA = 0.7, 0.5
#: How far the sides of a crop are stretched against each other, as a factor.
_STRETCH = 1.25
#: How far brightness, contrast and saturation change, as a share.
_COLOUR = 0.2
#: The shares of red, green and blue in a grey, by ITU-R 601.
_GREY = np.array((0.299, 0.587, 0.114))


def view_name(sha256: str, number: int) -> str:
    """Return what the rows of a view are known by in a store, given its image and number."""
    return f"{sha256}.{number}"


@dataclass(frozen=True, slots=True)
class Views:
    """Which views are made of an image; the same image, seed and number give the same view.

    Number 0 is the image as it is, number 1 its mirror image if that is allowed. In all others,
    everything that is allowed is done at random.

    Attributes:
        size: height and width of a view, in pixels.
        numbers: those of the views that are made of each image.
        changes: what is allowed.
        seed: of the random numbers.
    """

    size: int
    numbers: tuple[int, ...] = (0,)
    changes: frozenset[Change] = frozenset()
    seed: int = 0

    @classmethod
    def of(cls, size: int, count: int, changes: Iterable[Change], seed: int) -> Self:
        """Return the views that may be had: if nothing is allowed, all views would be the same."""
        allowed = frozenset(changes)
        several = allowed and count > 1
        return cls(size, tuple(range(count)), allowed, seed) if several else cls(size)

    @property
    def count(self) -> int:
        """How many views are made of each image."""
        return len(self.numbers)

    def only(self, numbers: Iterable[int]) -> Self:
        """Return the same views, but others of their numbers."""
        return replace(self, numbers=tuple(numbers))

    @property
    def decoded_size(self) -> int:
        """Height and width to decode an image to, once for all views.

        Crops are taken from a larger picture, so that none has to be enlarged.
        """
        return math.ceil(self.size / _LEAST_SIDE) if "crop" in self.changes else self.size

    @property
    def key(self) -> dict[str, object]:
        """What the views depend on but for the image and their number."""
        changes = sorted(self.changes)
        return {"version": VIEWS_VERSION, "changes": changes, "seed": self.seed if changes else 0}

    def make(self, pixels: Pixels, sha256: str) -> Pixels:
        """Return the views of an image.

        Args:
            pixels: uint8 RGB of shape (decoded_size, decoded_size, 3).
            sha256: the hash of the image's file.

        Returns:
            uint8 RGB of shape (count, size, size, 3).
        """
        image = Image.fromarray(pixels)
        return np.stack([self._view(image, sha256, number) for number in self.numbers])

    def _view(self, image: Image.Image, sha256: str, number: int) -> Pixels:
        if number == 0:
            return np.asarray(self._cut_out(image, (0, 0, *image.size)))
        if number == 1 and "mirror" in self.changes:
            whole = self._cut_out(image, (0, 0, *image.size))
            return np.asarray(whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        random = np.random.default_rng((self.seed, int(sha256[:16], 16), number))
        # All numbers are drawn, so that one change does not depend on which others are allowed.
        box, mirrored, factors = (
            _box(random, image.width),
            random.random() < 1 / 2,
            _factors(random),
        )
        view = self._cut_out(image, box if "crop" in self.changes else (0, 0, *image.size))
        if mirrored and "mirror" in self.changes:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return _recoloured(view, *factors) if "colour" in self.changes else np.asarray(view)

    def _cut_out(self, image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
        size = (self.size, self.size)
        return image.resize(size, Image.Resampling.BILINEAR, box=box)


def _box(random: np.random.Generator, side: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a crop, in pixels of a square picture."""
    area = random.uniform(_LEAST_AREA, 1)
    stretch = math.exp(random.uniform(-1, 1) * math.log(_STRETCH))
    sides = np.sqrt((area * stretch, area / stretch)).clip(_LEAST_SIDE, 1) * side
    left, top = random.uniform(0, side - sides)
    return left, top, left + sides[0], top + sides[1]


def _factors(random: np.random.Generator) -> tuple[float, float, float]:
    """Return factors for brightness, contrast and saturation."""
    brightness, contrast, saturation = 1 + random.uniform(-_COLOUR, _COLOUR, 3)
    return brightness, contrast, saturation


def _recoloured(view: Image.Image, brightness: float, contrast: float, saturation: float) -> Pixels:
    """Change brightness, then saturation around grey, then contrast around the mean grey."""
    mean = float(np.asarray(view.convert("L"), np.float32).mean())
    colours = saturation * np.eye(3) + (1 - saturation) * np.ones((3, 1)) * _GREY
    offsets = np.full((3, 1), (1 - contrast) * brightness * mean)
    matrix = np.hstack([brightness * contrast * colours, offsets])
    return np.asarray(view.convert("RGB", tuple(matrix.ravel().tolist())))
