"""Paints heat as a picture to lay over the one that it is of."""

import io

import numpy as np
from PIL import Image

from shared.heatmaps.parts import Floats

#: Of the strongest heat, 0 to 255: some of the picture stays visible.
_OPAQUE = 190
#: RGB of the faintest and of the strongest heat.
_FAINT, _STRONG = (255, 196, 0), (214, 0, 40)
_LEVELS = 256
#: The strongest heat of a picture without any.
_FAINTEST = 1e-30


def paint(grid: Floats, height: int, width: int) -> bytes:
    """Return heat as a PNG with an alpha channel, to be stretched over the whole picture.

    Painted is where a picture speaks more for the label than it does on average, the more opaque
    and red the stronger. Its average says nothing of places: features and biases often cancel each
    other out. The strongest place of each picture is painted alike.

    Args:
        grid: the heat of places, float32 (rows, columns).
        height: of the PNG, in pixels.
        width: of the PNG, in pixels.
    """
    above = np.maximum(grid - grid.mean(), 0)
    levels = np.rint(above * ((_LEVELS - 1) / max(float(above.max()), _FAINTEST)))
    places = Image.fromarray(levels.astype(np.uint8))
    image = places.resize((width, height), Image.Resampling.BILINEAR)
    image.putpalette(_COLOURS)
    png = io.BytesIO()
    image.save(png, "PNG", transparency=_ALPHAS, compress_level=1)
    return png.getvalue()


def _ramp(start: int, end: int) -> list[int]:
    return [round(start + (end - start) * level / (_LEVELS - 1)) for level in range(_LEVELS)]


_CHANNELS = [_ramp(faint, strong) for faint, strong in zip(_FAINT, _STRONG, strict=True)]
_COLOURS = bytes(value for colour in zip(*_CHANNELS, strict=True) for value in colour)
_ALPHAS = bytes(_ramp(0, _OPAQUE))
