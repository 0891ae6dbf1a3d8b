"""The boxes that files of the ISO base media format, such as HEIF and AVIF, consist of."""

from collections.abc import Iterator
from typing import NamedTuple

_TO_THE_END, _LONG = 0, 1
#: One of them lists what is in the file.
_LISTS = (b"meta", b"moov")


class Box(NamedTuple):
    """A box of a file: its kind, and where its content begins and ends.

    The end is where the file says, which may be beyond its last byte.
    """

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes from `start` to `end`, up to the first that is malformed."""
    end = len(data) if end is None else min(end, len(data))
    while start + 8 <= end:
        size, content = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == _LONG:
            size, content = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        elif size == _TO_THE_END:
            size = end - start
        if start + size < content:
            return
        yield Box(data[start + 4 : start + 8], content, start + size)
        start += size


def ends_early(data: bytes) -> bool:
    """Return whether a file is shorter than its boxes say, or ends before one that it needs."""
    found = list(boxes(data))
    if not any(box.kind in _LISTS for box in found):
        return True
    end = found[-1].end
    return end > len(data) - 8 and end != len(data)
