"""Reads HEIF files, such as the HEIC of phones, with libheif."""

import numpy as np
import pillow_heif
from PIL import Image

# Of a file, only the image itself is read, and in the caller's thread.
pillow_heif.options.THUMBNAILS = False
pillow_heif.options.DEPTH_IMAGES = False
pillow_heif.options.AUX_IMAGES = False
pillow_heif.options.DECODE_THREADS = 1


def open_heif(data: bytes) -> pillow_heif.HeifImage:
    """Return the primary image of a file; its `size` is known and upright, its pixels are not read.

    If the file's images have more pixels than this size says, libheif refuses to decode them.

    Raises:
        ValueError, EOFError, SyntaxError, RuntimeError: the file is broken.
        OSError: there is no memory.
    """
    file = pillow_heif.open_heif(data)
    return file[file.primary_index]


def read_pixels(image: pillow_heif.HeifImage) -> Image.Image:
    """Decode an image to 8 bits. Its rotation is applied; that of its EXIF is a copy of it.

    Raises:
        as `open_heif`.
    """
    pixels = image.data
    mode = image.mode
    decoded = Image.frombytes(mode, image.size, pixels, "raw", mode, image.stride)
    if mode.startswith("I;16"):  # grey of 10 or 12 bits, which libheif has scaled to 16
        return Image.fromarray((np.asarray(decoded) >> 8).astype(np.uint8))
    return decoded
