"""Pictures that are small enough to be part of an HTML file."""

import base64
import io
from typing import NamedTuple

from PIL import Image

from shared.errors import InvalidImage
from shared.heatmaps.painting import paint
from shared.heatmaps.parts import Floats
from shared.images.decoding import ImageLimits, check
from trainer_service.datasets.thumbnails.thumbnail import (
    SIDE,
    Thumbnail,
    encoded,
    small_copy,
    thumbnail,
)


class Embedded(NamedTuple):
    """A picture as a `data:` URL, with its size in pixels."""

    url: str
    width: int
    height: int


def embedded(data: bytes, limits: ImageLimits) -> Embedded | None:
    """Return a small upright copy of an encoded image, or None if it can't be decoded."""
    try:
        small = thumbnail(data, check(data, limits), limits)
    except InvalidImage:
        return None
    return None if small is None else _embedded(small)


def heated(data: bytes, limits: ImageLimits, grid: Floats) -> Embedded | None:
    """Return a small upright copy of an encoded image with heat over it, or None as `embedded`.

    Args:
        data: the bytes of the file.
        limits: the largest image that is decoded.
        grid: the heat of places, float32 (rows, columns).
    """
    try:
        copy = small_copy(data, check(data, limits), limits)
    except InvalidImage:
        return None
    if copy is None:
        return None
    times = max(1, SIDE // max(copy.size))  # else the heat of a tiny picture had no room
    copy = copy.resize((copy.width * times, copy.height * times), Image.Resampling.NEAREST)
    heat = Image.open(io.BytesIO(paint(grid, copy.height, copy.width)))
    both = Image.alpha_composite(copy.convert("RGBA"), heat.convert("RGBA"))
    return _embedded(encoded(both.convert("RGB")))


def _embedded(small: Thumbnail) -> Embedded:
    url = f"data:{small.media_type};base64,{base64.b64encode(small.data).decode()}"
    return Embedded(url, small.width, small.height)
