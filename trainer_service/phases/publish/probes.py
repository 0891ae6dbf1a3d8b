"""Pictures that are drawn to see whether a version calls them unknown."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from shared.engines import Pixels

#: Of the height and width: how far a picture is blurred, and how high the letters of a text are.
_BLUR, _LETTER = 1 / 12, 1 / 14
_LETTERS = "abcdefghijklmnopqrstuvwxyz     "


def draw_probes(size: int, of_each: int, own: Pixels, seed: int) -> Iterator[tuple[str, Pixels]]:
    """Yield the name of each kind of probes, and the pictures: uint8 (of_each, size, size, 3).

    Args:
        size: height and width, in pixels.
        of_each: how many to draw of each kind.
        own: pictures that the version knows, which are blurred: uint8 (n, size, size, 3).
        seed: the same seed draws the same.
    """
    numbers = np.random.default_rng(seed)
    yield (
        "plain",
        np.broadcast_to(
            numbers.integers(0, 256, (of_each, 1, 1, 3), dtype=np.uint8), (of_each, size, size, 3)
        ),
    )
    yield "noise", numbers.integers(0, 256, (of_each, size, size, 3), dtype=np.uint8)
    yield (
        "blur",
        np.stack([_blurred(own[turn % len(own)]) for turn in range(min(of_each, len(own)))]),
    )
    letters = random.Random(seed)
    yield "text", np.stack([_page(size, letters) for _ in range(of_each)])


def _blurred(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    radius = picture.shape[0] * _BLUR
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _page(size: int, letters: random.Random) -> npt.NDArray[Any]:
    """Return a page of made-up words, black on white."""
    high = max(6, round(size * _LETTER))
    page = Image.new("RGB", (size, size), "white")
    drawing = ImageDraw.Draw(page)
    font = ImageFont.load_default(high)
    for top in range(high // 2, size - high, round(high * 1.4)):
        line = "".join(letters.choice(_LETTERS) for _ in range(3 * size // high))
        drawing.text((high // 2, top), line, "black", font)
    return np.asarray(page)
