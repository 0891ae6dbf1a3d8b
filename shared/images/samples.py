"""Turns the samples of an image, of whatever depth, into RGB with 8 bits each, piece by piece.

Samples of 16 bits, of 32 bits and floats are stretched: the darkest of the image becomes black and
the brightest white, in all colours alike. Such a file does not say what white is: cameras and
scanners of 10, 12 or 14 bits write their samples into 16 bits unchanged, and with 65535 as white
only 16 greys of a 12-bit image would be left. If a file does say what white is, that is used.
"""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

Box = tuple[int, int, int, int]

#: How many pixels are converted at a time; all at once would take several times the memory.
BAND_PIXELS = 1 << 19
#: A side of at least twice this length is averaged down before the image is resized.
LONG_SIDE = 1 << 15

_PHOTOMETRIC, _WHITE_IS_ZERO, _BITS = 262, 0, 258
_TWELVE_BITS = (12,)
_LOW_BYTES = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_GREY_AND_ALPHA = "LA;16B"
#: A mode of four bytes in which Pillow leaves them unchanged; no PNG of 16 bits has it.
_FOUR_BYTES = "CMYK"
_DEEP_COLOURS = {"RGB;16", "RGBX;16", "RGBA;16"}


class Picture(NamedTuple):
    """An image whose pixels are converted when they are asked for.

    Attributes:
        size: width and height in pixels.
        piece: returns what is within a box, as RGB.
    """

    size: tuple[int, int]
    piece: Callable[[Box], Image.Image]


class _Deep(NamedTuple):
    """Samples of more than 8 bits, before they are stretched.

    Attributes:
        samples: of shape (height, width) or (height, width, 3); uint16 or float64.
        alpha: uint8 of shape (height, width), if there is transparency.
    """

    samples: NDArray[Any]
    alpha: NDArray[np.uint8] | None = None


def plain(image: Image.Image) -> Picture:
    """Return an image with samples of 8 bits or less as a picture."""
    return Picture(image.size, lambda box: _to_rgb(_crop(image, box)))


def picture(image: Image.Image, low: Image.Image | None) -> Picture:
    """Return a loaded image as a picture.

    Args:
        image: the image.
        low: what `low_bytes` returned for it, loaded too.
    """
    if low is None and not _is_deep(image):
        return plain(image)
    read = _reader(image, low)
    black, white = _black_and_white(read, image)
    return Picture(image.size, lambda box: _stretched(read(box), black, white))


def has_low_bytes(image: Image.Image) -> bool:
    """Return whether an image that is open has 16 bits for each colour, or grey and alpha.

    Pillow keeps the upper 8.
    """
    rawmode = _rawmode(image)
    return rawmode == _GREY_AND_ALPHA or rawmode[:-1] in _DEEP_COLOURS


def low_bytes(image: ImageFile.ImageFile) -> ImageFile.ImageFile:
    """Make an image with `has_low_bytes` that is open, but not loaded, load its lower bytes.

    Of grey and alpha it loads all four bytes, upper ones first.
    """
    if _rawmode(image) == _GREY_AND_ALPHA:
        image._mode = _FOUR_BYTES  # noqa: SLF001 - Pillow has no public way to read both bytes
        image.tile = [tile._replace(args=_FOUR_BYTES) for tile in image.tile]
    else:
        image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]
    return image


def pieces(size: tuple[int, int], across: int = 1, down: int = 1) -> Iterator[Box]:
    """Yield boxes that cover an image, their sides multiples of `across` and `down`."""
    width = across * max(1, min(size[0], LONG_SIDE) // across)
    height = down * max(1, BAND_PIXELS // width // down)
    for top in range(0, size[1], height):
        for left in range(0, size[0], width):
            yield left, top, min(left + width, size[0]), min(top + height, size[1])


def _rawmode(image: Image.Image) -> str:
    """Return how Pillow names the samples of an image that is open."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    args = image.tile[0].args
    named = args[0] if isinstance(args, tuple) else args
    return named if isinstance(named, str) else ""


def _swapped(args: Any) -> Any:
    if isinstance(args, tuple):
        return (_swapped(args[0]), *args[1:])
    name, _, depth = args.partition(";")
    return f"{name};{_LOW_BYTES[depth]}"


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _crop(image: Image.Image, box: Box) -> Image.Image:
    return image if box == (0, 0, *image.size) else image.crop(box)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; what is transparent becomes white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGBA", image.size, "white")
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def _reader(image: Image.Image, low: Image.Image | None) -> Callable[[Box], _Deep]:
    """Return a function that returns the samples within a box."""
    transparent = image.info.get("transparency")

    def read(box: Box) -> _Deep:
        upper = np.asarray(_crop(image, box))
        if low is None:
            is_short = image.mode.startswith("I;16")
            return _keyed(upper.astype(np.uint16 if is_short else np.float64), transparent)
        lower = np.asarray(_crop(low, box))
        if low.mode == _FOUR_BYTES:
            return _Deep(_joined(lower[..., 0], lower[..., 1]), lower[..., 2])
        colours = _joined(upper[..., :3], lower[..., :3])
        if image.mode == "RGBA":
            return _Deep(colours, upper[..., 3])
        return _keyed(colours, transparent)

    return read


def _joined(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return upper.astype(np.uint16) * np.uint16(256) + lower


def _keyed(samples: NDArray[Any], transparent: object) -> _Deep:
    """Make the samples transparent that have the colour which a PNG names as such."""
    if not isinstance(transparent, int | tuple):
        return _Deep(samples)
    is_kept = samples != np.asarray(transparent)
    if samples.ndim == 3:  # noqa: PLR2004 - (height, width, 3)
        is_kept = is_kept.any(axis=2)
    return _Deep(samples, np.where(is_kept, np.uint8(255), np.uint8(0)))


def _black_and_white(read: Callable[[Box], _Deep], image: Image.Image) -> tuple[float, float]:
    """Return the samples that become black and white."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if tags.get(_BITS) == _TWELVE_BITS:
        black, white = 0.0, 4095.0
    else:
        ranges = [_range(read(box).samples) for box in pieces(image.size)]
        black, white = min(low for low, _ in ranges), max(high for _, high in ranges)
    return (white, black) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (black, white)


def _range(samples: NDArray[Any]) -> tuple[float, float]:
    if samples.dtype != np.uint16:
        samples = samples[np.isfinite(samples)]
    return (float(samples.min()), float(samples.max())) if samples.size else (np.inf, -np.inf)


def _stretched(deep: _Deep, black: float, white: float) -> Image.Image:
    """Map the samples from `black` to `white` to 0 to 255, as RGB.

    Samples that are all equal become black, and so do those that are no numbers.
    """
    if deep.samples.dtype == np.uint16:
        table = _to_bytes(np.arange(1 << 16), black, white)
        grey = table[deep.samples]
    else:
        grey = _to_bytes(deep.samples, black, white)
    image = Image.fromarray(grey).convert("RGB")
    if deep.alpha is not None:
        image.putalpha(Image.fromarray(deep.alpha))
    return _to_rgb(image)


def _to_bytes(samples: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    if black == white or not math.isfinite(white - black):
        return np.zeros(samples.shape, np.uint8)
    numbers = np.nan_to_num(samples, nan=black, posinf=max(black, white), neginf=min(black, white))
    scaled = (numbers - black) * (255.0 / (white - black))
    grey: NDArray[np.uint8] = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return grey
