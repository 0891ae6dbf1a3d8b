"""Pictures small enough to stand inside of a document."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from shared.errors import InvalidImage
from shared.images import ImageLimits, check, decode

#: Longest side, in pixels.
SIDE = 160
#: Up to this side a picture is copied without loss; beyond, that would weigh too much.
LOSSLESS_SIDE = 64
QUALITY = 80


class Thumbnail(NamedTuple):
    """A picture as a `data:` URL, with its size in pixels."""

    url: str
    width: int
    height: int


def thumbnail(path: Path, limits: ImageLimits) -> Thumbnail | None:
    """Return a small upright copy of an image, or None if it can't be read any more."""
    try:
        data = path.read_bytes()
        info = check(data, limits)
        scale = min(1.0, SIDE / max(info.width, info.height))
        width, height = (max(1, round(side * scale)) for side in (info.width, info.height))
        image = Image.fromarray(decode(data, height, width, limits))
    except (OSError, InvalidImage):
        return None
    return Thumbnail(_data_url(image, lossless=max(width, height) <= LOSSLESS_SIDE), width, height)


def _data_url(image: Image.Image, *, lossless: bool) -> str:
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=QUALITY)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
