"""Reads PBM, PGM and PPM files (P4, P5 and P6).

Pillow reads most of them in Python, sample by sample, and no other thread would run meanwhile.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITS, _GREY = b"P4", b"P5"
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_SIZE = rb"(P[456])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})"
_HEADER = re.compile(_SIZE + rb"\s")
_HEADER_WITH_WHITE = re.compile(_SIZE + _GAP + rb"(\d{1,5})\s")
_MAX_HEADER = 1 << 16
_DEEPEST = 0xFFFF
#: How many samples are converted at a time.
_PIECE = 1 << 19


class PpmHeader(NamedTuple):
    """What the header of a file says.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: 1 or 3; 0 if a pixel is a bit.
        white: the sample that stands for white.
        start: where the samples begin, in bytes.
    """

    width: int
    height: int
    channels: int
    white: int
    start: int

    @property
    def row_bytes(self) -> int:
        if not self.channels:
            return -(-self.width // 8)
        return self.width * self.channels * (1 if self.white < 256 else 2)  # noqa: PLR2004 - a byte

    @property
    def end(self) -> int:
        return self.start + self.row_bytes * self.height


def read_header(data: bytes) -> PpmHeader:
    """Read the header.

    Raises:
        ValueError: it is malformed.
    """
    head = data[:_MAX_HEADER]
    is_bits = head.startswith(_BITS)
    found = (_HEADER if is_bits else _HEADER_WITH_WHITE).match(head)
    if found is None:
        raise ValueError("the header is malformed")
    width, height = int(found[2]), int(found[3])
    white = 1 if is_bits else int(found[4])
    if not (width and height and 0 < white <= _DEEPEST):
        raise ValueError(f"the header says {width} x {height} pixels, and {white} for white")
    channels = 0 if is_bits else 1 if found[1] == _GREY else 3
    return PpmHeader(width, height, channels, white, found.end())


def read_pixels(data: bytes, header: PpmHeader) -> Image.Image:
    """Return the first image of a file, in 8 bits, as L or RGB.

    Raises:
        EOFError: the file ends early.
    """
    if len(data) < header.end:
        raise EOFError
    if not header.channels:
        bits = data[header.start : header.end]
        return Image.frombytes("1", (header.width, header.height), bits, "raw", "1;I").convert("L")
    shape = (header.height, header.width, header.channels)
    pixels = np.empty(header.height * header.width * header.channels, np.uint8)
    for start, piece in _pieces(data, header):
        pixels[start : start + len(piece)] = piece
    return Image.fromarray(pixels.reshape(shape[:2] if header.channels == 1 else shape))


def _pieces(data: bytes, header: PpmHeader) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the samples in 8 bits, some at a time, each time with their position."""
    kind = np.dtype(np.uint8 if header.white < 256 else ">u2")  # noqa: PLR2004 - one byte each
    count = header.width * header.height * header.channels
    samples = np.frombuffer(data, kind, count, header.start)
    grey = np.rint(np.arange(header.white + 1) * (255.0 / header.white)).astype(np.uint8)
    for start in range(0, count, _PIECE):
        yield start, grey[np.minimum(samples[start : start + _PIECE], header.white)]
