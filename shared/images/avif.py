"""Looks into AVIF files before they are decoded.

libavif trusts the size in a file's boxes, but decodes frames of the size in the AV1 data, up to 268
megapixels, and then scales them. So the size is read from the AV1 data here.
"""

from collections.abc import Iterator
from typing import NamedTuple

from shared.images.boxes import Box, boxes

_AV1, _METADATA = b"av01", (b"Exif", b"mime")
_SEQUENCE_HEADER = 1
#: An image has a few; each is looked at.
_MAX_UNITS = 10_000
_MAX_ITEMS = 1000
#: No frame has more pixels: libavif's own limit.
_MAX_FRAME_PIXELS = 1 << 28
_TO_SAMPLES = (b"mdia", b"minf", b"stbl")


class Frame(NamedTuple):
    """The size of the frames of AV1 data.

    Attributes:
        width: of the largest frame, in pixels.
        height: of the largest frame, in pixels.
        most_pixels: the most pixels of any frame, since each may state another size than these.
    """

    width: int
    height: int
    most_pixels: int


def largest_frame(data: bytes) -> Frame:
    """Return the size of the largest frame in a file; no pixels if it has no frame.

    Raises:
        ValueError: the file is malformed, or has absurdly many parts.
    """
    found = [frame for piece in _av1_data(data) for frame in _frames(piece)]
    return max(found, key=lambda frame: frame.width * frame.height, default=Frame(0, 0, 0))


def without_metadata(data: bytes) -> bytes:
    """Return a file whose EXIF and XMP no decoder finds.

    They do not affect the pixels: the orientation of an AVIF is one of its own properties. With
    them, Pillow would refuse a sound image whose EXIF is broken.
    """
    changed = bytearray(data)
    for meta in _metas(data):
        for position, _, kind in _items(data, meta):
            if kind in _METADATA:
                changed[position : position + 4] = b"none"
    return bytes(changed)


def _metas(data: bytes) -> Iterator[Box]:
    """Yield the boxes that list items, of the file and of its tracks."""
    for box in boxes(data):
        if box.kind == b"meta":
            yield box
        if box.kind == b"moov":
            for track in _within(data, box, b"trak"):
                yield from _within(data, track, b"meta")


def _within(data: bytes, box: Box, kind: bytes) -> Iterator[Box]:
    return (inner for inner in boxes(data, box.start, box.end) if inner.kind == kind)


def _listed(data: bytes, meta: Box, kind: bytes) -> Iterator[Box]:
    """Yield the boxes of a kind in a meta box, which begins with a version."""
    return (box for box in boxes(data, meta.start + 4, meta.end) if box.kind == kind)


def _items(data: bytes, meta: Box) -> Iterator[tuple[int, int, bytes]]:
    """Yield where the kind of each item stands, the item's id, and its kind."""
    for listing in _listed(data, meta, b"iinf"):
        first = listing.start + (6 if data[listing.start] == 0 else 8)
        for box in boxes(data, first, listing.end):
            id_size = 4 if data[box.start] == 3 else 2  # noqa: PLR2004 - the version
            item = int.from_bytes(data[box.start + 4 : box.start + 4 + id_size], "big")
            position = box.start + 4 + id_size + 2
            yield position, item, data[position : position + 4]


def _av1_data(data: bytes) -> Iterator[bytes]:
    """Yield the AV1 data of each image item, and of the first sample of each track."""
    for meta in _metas(data):
        images = {item for _, item, kind in _items(data, meta) if kind == _AV1}
        inside = next((box.start for box in _listed(data, meta, b"idat")), 0)
        for box in _listed(data, meta, b"iloc"):
            yield from _located(data, box, images, inside)
    for movie in (box for box in boxes(data) if box.kind == b"moov"):
        for track in _within(data, movie, b"trak"):
            yield from _first_sample(data, track)


class _Numbers:
    """Reads numbers of a box one after the other, big-endian, by their sizes in bytes."""

    def __init__(self, data: bytes, box: Box) -> None:
        self._data, self._position, self._end = data, box.start, box.end

    def next(self, size: int) -> int:
        start, self._position = self._position, self._position + size
        if self._position > min(self._end, len(self._data)):
            raise ValueError("a box ends early")
        return int.from_bytes(self._data[start : self._position], "big")


def _located(data: bytes, box: Box, images: set[int], inside: int) -> Iterator[bytes]:
    """Yield the data of image items, from the box that says where they are.

    Args:
        data: the file.
        box: the box.
        images: the ids of the items.
        inside: where the data begin of items that are within the meta box.
    """
    numbers = _Numbers(data, box)
    version, _ = numbers.next(1), numbers.next(3)
    sizes, more_sizes = numbers.next(1), numbers.next(1)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more_sizes >> 4
    index_size = more_sizes & 15 if version else 0
    id_size = 2 if version < 2 else 4  # noqa: PLR2004
    left = len(data)
    for _ in range(_at_most(numbers.next(id_size), _MAX_ITEMS)):
        item = numbers.next(id_size)
        origin = inside if version and numbers.next(2) & 15 == 1 else 0
        numbers.next(2)
        origin += numbers.next(base_size)
        pieces = []
        for _ in range(_at_most(numbers.next(2), _MAX_ITEMS)):
            numbers.next(index_size)
            start, length = origin + numbers.next(offset_size), numbers.next(length_size)
            pieces.append(data[start : start + length] if length else data[start:])
        if item in images:
            left -= _at_most(sum(map(len, pieces)), left)
            yield b"".join(pieces)


def _first_sample(data: bytes, track: Box) -> Iterator[bytes]:
    tables = [track]
    for kind in _TO_SAMPLES:
        tables = [inner for box in tables for inner in _within(data, box, kind)]
    for table in tables:
        for kind, size in ((b"stco", 4), (b"co64", 8)):
            for box in _within(data, table, kind):
                start = int.from_bytes(data[box.start + 8 : box.start + 8 + size], "big")
                yield data[start:]


def _at_most(number: int, most: int) -> int:
    if number > most:
        raise ValueError(f"{number} parts or bytes where {most} are the most")
    return number


def _frames(av1: bytes) -> Iterator[Frame]:
    """Yield the frame size in each sequence header of AV1 data."""
    position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(av1):
            return
        header = av1[position]
        position += 2 if header & 4 else 1
        size = len(av1) - position
        if header & 2:
            size, position = _leb128(av1, position)
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            yield _sequence_frame(av1[position : position + min(size, 64)])
        position += size
    raise ValueError(f"more than {_MAX_UNITS} parts")


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = 0
    for shift, byte in enumerate(data[position : position + 8]):
        value |= (byte & 127) << 7 * shift
        if not byte & 128:
            return value, position + shift + 1
    raise ValueError("a length is malformed")


class _Bits:
    """Reads bits one after the other."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def next(self, count: int = 1) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a sequence header ends early")
        return self._value >> self._left & (1 << count) - 1


def _sequence_frame(header: bytes) -> Frame:
    """Return the frame size in a sequence header (AV1 specification, 5.5)."""
    bits = _Bits(header)
    bits.next(4)  # profile, still picture
    is_reduced = bits.next()
    if is_reduced:
        bits.next(5)
    else:
        _skip_timing(bits)
    width_bits, height_bits = bits.next(4) + 1, bits.next(4) + 1
    width, height = bits.next(width_bits) + 1, bits.next(height_bits) + 1
    most = width * height if is_reduced else min(1 << width_bits + height_bits, _MAX_FRAME_PIXELS)
    return Frame(width, height, most)


def _skip_timing(bits: _Bits) -> None:
    delay_bits = 0
    if bits.next():  # timing
        bits.next(64)
        if bits.next():
            _skip_variable(bits)
        if bits.next():  # decoder model
            delay_bits = bits.next(5) + 1
            bits.next(42)
    has_display_delay = bits.next()
    for _ in range(bits.next(5) + 1):
        bits.next(12)
        if bits.next(5) > 7:  # noqa: PLR2004 - levels from 4.0 on have tiers
            bits.next()
        if delay_bits and bits.next():
            bits.next(2 * delay_bits + 1)
        if has_display_delay and bits.next():
            bits.next(4)


def _skip_variable(bits: _Bits) -> None:
    zeros = 0
    while not bits.next():
        zeros += 1
    bits.next(zeros)
