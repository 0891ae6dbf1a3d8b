"""Small copies of pictures, for people to look at."""

import io
from typing import NamedTuple

from PIL import Image

from shared.errors import InvalidImage
from shared.images.decoding import ImageInfo, ImageLimits, decode

#: Longest side, in pixels.
SIDE = 160
#: Up to this side a picture is copied without loss; beyond, that would weigh too much.
LOSSLESS_SIDE = 64
QUALITY = 80


class Thumbnail(NamedTuple):
    """A PNG or JPEG file of some kilobytes, 25 at most, and its size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


def thumbnail(data: bytes, info: ImageInfo, limits: ImageLimits) -> Thumbnail | None:
    """Return a small upright copy of an image that was checked, or None if there can't be one."""
    copy = small_copy(data, info, limits)
    return None if copy is None else encoded(copy)


def small_copy(data: bytes, info: ImageInfo, limits: ImageLimits) -> Image.Image | None:
    """Return the pixels of a small upright copy, or None if there can't be one."""
    scale = min(1.0, SIDE / max(info.width, info.height))
    width, height = (max(1, round(side * scale)) for side in (info.width, info.height))
    try:
        return Image.fromarray(decode(data, height, width, limits))
    except InvalidImage:
        return None


def encoded(copy: Image.Image) -> Thumbnail:
    """Return a small copy as the bytes of a file."""
    buffer = io.BytesIO()
    if max(copy.size) <= LOSSLESS_SIDE:
        copy.save(buffer, "PNG")
        return Thumbnail(buffer.getvalue(), "image/png", *copy.size)
    copy.save(buffer, "JPEG", quality=QUALITY)
    return Thumbnail(buffer.getvalue(), "image/jpeg", *copy.size)
