"""Looks into JPEG files before they are decoded: how many scans they have, and their metadata."""

import struct
from collections.abc import Iterator

_TEM, _SOI, _RST0, _SOS, _FILL = 0x01, 0xD8, 0xD0, 0xDA, 0xFF
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_SEQUENTIAL, _PROGRESSIVE = {0xC0, 0xC1, 0xC9}, {0xC2, 0xCA}
_ADOBE_BYTES = 12
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def count_scans(data: bytes) -> int:
    """Return how many scans the decoder reads; sometimes more, never less."""
    components, progressive = 0, False
    for marker, position in _markers(data):
        if marker in _SEQUENTIAL | _PROGRESSIVE:
            components, progressive = data[position + 9], marker in _PROGRESSIVE
        elif marker == _SOS:
            if not progressive and data[position + 4] >= components:
                return 1  # the image is complete, whatever follows
            return data.count(b"\xff\xda", position)
    return data.count(b"\xff\xda")


def exif_and_xmp(data: bytes) -> dict[str, bytes]:
    """Return the metadata that may tell the orientation, as Pillow keeps them: "exif" and "xmp"."""
    found: dict[str, bytes] = {}
    for marker, start, end in _metadata(data):
        segment = data[start:end] if marker == _APP1 else b""
        if segment.startswith(_EXIF):
            found["exif"] = found.get("exif", _EXIF) + segment.removeprefix(_EXIF)
        elif segment.startswith(_XMP):
            found["xmp"] = segment.removeprefix(_XMP)
    return found


def without_metadata(data: bytes) -> bytes:
    """Return a JPEG without the segments that do not affect its pixels; Pillow may refuse some."""
    kept, start = [], 0
    for marker, begin, end in _metadata(data):
        # Adobe's segment tells how the colours are stored; libjpeg looks at it if it is whole.
        if marker != _APP14 or end - begin < _ADOBE_BYTES:
            kept.append(data[start : begin - 4])
            start = end
    return b"".join([*kept, data[start:]])


def header_ends_early(data: bytes) -> bool:
    """Return whether a file ends before its first scan begins."""
    position = 2
    while position + 4 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        if fill != _FILL or marker == _SOS:
            return False
        position += 1 if marker == _FILL else 2 + length
    return True


def _metadata(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments for applications and comments: marker, and where the content is."""
    for marker, position in _markers(data):
        if marker == _SOS:
            return
        if _APP0 <= marker <= _APP15 or marker == _COMMENT:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            yield marker, position + 4, position + 2 + length


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of the header and their positions, up to the first malformed one."""
    position = 2
    while position + 10 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        if fill != _FILL or marker in {0, _TEM} or _RST0 <= marker <= _SOI:
            return
        if marker == _FILL:
            position += 1
            continue
        yield marker, position
        position += 2 + length
