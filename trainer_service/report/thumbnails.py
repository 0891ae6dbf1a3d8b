"""Pictures that are small enough to be part of an HTML file."""

import base64
from typing import NamedTuple

from shared.errors import InvalidImage
from shared.images.decoding import ImageLimits, check
from trainer_service.datasets.thumbnails.thumbnail import thumbnail


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
    if small is None:
        return None
    url = f"data:{small.media_type};base64,{base64.b64encode(small.data).decode()}"
    return Embedded(url, small.width, small.height)
