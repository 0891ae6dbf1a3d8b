"""Looks at the chunks of PNG files before they are decoded."""

from collections.abc import Iterator

#: A chunk of text that has more bytes than this is removed.
_LONG_TEXT = 1 << 16


def without_large_text(data: bytes) -> bytes:
    """Return a PNG without its colour profile and without long or packed texts, such as XMP.

    None of them affects the pixels, and Pillow refuses a sound image for a text or a profile of
    more than a megabyte. XMP with the orientation is used only if it is short and not packed.
    """
    kept, start = [], 0
    for position, end in _chunks(data):
        if _is_large_text(data, position, end):
            kept.append(data[start:position])
            start = end
    return b"".join([*kept, data[start:]]) if kept else data


def ends_early(data: bytes) -> bool:
    """Return whether the chunk is missing that ends a file."""
    return all(data[start + 4 : start + 8] != b"IEND" for start, _ in _chunks(data))


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each chunk begins, and where it ends or would end in a file that is cut off."""
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        yield position, end
        position = end


def _is_large_text(data: bytes, position: int, end: int) -> bool:
    kind = data[position + 4 : position + 8]
    if kind in {b"iCCP", b"zTXt"}:
        return True
    if kind not in {b"iTXt", b"tEXt"}:
        return False
    # A keyword, a zero, and in an iTXt whether the text is packed.
    flag = data.find(b"\0", position + 8, end) + 1
    is_packed = kind == b"iTXt" and data[flag : flag + 1] == b"\1"
    return is_packed or end - position > _LONG_TEXT
