"""Looks at the tags of a TIFF: whether it is a camera's raw file, and why it can't be read."""

import io

from PIL import TiffImagePlugin

from shared.errors import InvalidImage
from shared.images.formats import CAMERA_RAW, not_read

_SUBFILE_TYPE, _IS_PREVIEW = 254, 1
_BITS, _PHOTOMETRIC, _BANDS, _SUB_IFDS, _SAMPLE_FORMAT = 258, 262, 277, 330, 339
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_DNG_VERSION = 50706
_FLOAT, _COMPLEX = 3, {5, 6}
_BIG = 43
_LOOKED_AT = (_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _BANDS, _SUB_IFDS, _SAMPLE_FORMAT)


def check(data: bytes) -> None:
    """Refuse a camera's raw file, of which Pillow would read a thumbnail.

    Raises:
        InvalidImage: it is one.
    """
    tags = _tags(data)
    if tags is None:
        return
    is_preview = tags.get(_SUBFILE_TYPE, 0) == _IS_PREVIEW and _SUB_IFDS in tags
    is_raw = tags.get(_PHOTOMETRIC) in {_COLOUR_FILTER_ARRAY, _LINEAR_RAW}
    if _DNG_VERSION in tags or is_preview or is_raw:
        raise InvalidImage("unreadable", not_read(CAMERA_RAW))


def describe(data: bytes) -> str | None:
    """Return what kind of samples a TIFF has that can't be read; None if it does not tell."""
    tags = _tags(data)
    if tags is None:
        return None
    bits, bands = tags.get(_BITS, (1,)), tags.get(_BANDS, 1)
    kind = tags.get(_SAMPLE_FORMAT, (1,))[0]
    depth = f"{bits[0]} bits" if len(set(bits)) == 1 else f"{', '.join(map(str, bits))} bits"
    form = {_FLOAT: " as floats"} | dict.fromkeys(_COMPLEX, " as complex numbers")
    plural = "band" if bands == 1 else "bands"
    return (
        f"a TIFF with {bands} {plural} of {depth}{form.get(kind, '')} is not read: "
        "convert it to grey or RGB of 8 or 16 bits"
    )


def _tags(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """Return the tags of the first image, or None if they can't be read."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if _BIG in data[2:4] else 8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        for tag in _LOOKED_AT:
            directory.get(tag)  # each is parsed as it is asked for
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - then Pillow says what is wrong
        return None
    return directory
