"""Paints heat as a picture to lay over the one that it is of."""

import io

import numpy as np
from PIL import Image

from shared.heatmaps.heat import interpolation
from shared.heatmaps.parts import Floats

#: Of the strongest heat, 0 to 255: some of the picture stays visible.
_OPAQUE = 190
#: RGB of the faintest and of the strongest heat.
_FAINT, _STRONG = (255, 196, 0), (214, 0, 40)
_LEVELS = 256


def paint(grid: Floats, height: int, width: int) -> bytes:
    """Return heat as a PNG with an alpha channel, to be stretched over the whole picture.

    Only what speaks for the label is painted: transparent where nothing does, and the more opaque
    and red the stronger it does. The strongest place of each picture is painted alike.

    Args:
        grid: the heat of places, float32 (rows, columns).
        height: of the PNG, in pixels.
        width: of the PNG, in pixels.
    """
    rows, columns = grid.shape
    heat = interpolation(rows, height) @ grid @ interpolation(columns, width).T
    strongest = max(float(heat.max()), 1e-30)
    levels = np.rint(np.maximum(heat, 0) * ((_LEVELS - 1) / strongest)).astype(np.uint8)
    image = Image.fromarray(levels)
    image.putpalette(_COLOURS)
    png = io.BytesIO()
    image.save(png, "PNG", transparency=_ALPHAS, compress_level=1)
    return png.getvalue()


def _ramp(start: int, end: int) -> list[int]:
    return [round(start + (end - start) * level / (_LEVELS - 1)) for level in range(_LEVELS)]


_CHANNELS = [_ramp(faint, strong) for faint, strong in zip(_FAINT, _STRONG, strict=True)]
_COLOURS = bytes(value for colour in zip(*_CHANNELS, strict=True) for value in colour)
_ALPHAS = bytes(_ramp(0, _OPAQUE))
