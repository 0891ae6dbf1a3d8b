"""Which of two media types a client would rather have."""

from collections.abc import Iterable, Mapping
from contextlib import suppress


def prefers(accept: str, wanted: str, default: str) -> bool:
    """Return whether an `Accept` header ranks `wanted` above `default`; a tie is the default's.

    A type's quality is that of the most specific range it falls into (RFC 9110, 12.5.1). Of two
    that are equally good, one that is named goes before one that `*/*` lets in.
    """
    ranges = _ranges(accept)
    return _rank(ranges, wanted) > _rank(ranges, default)


def _ranges(accept: str) -> dict[str, float]:
    ranges = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        ranges[name] = _quality(parameters)
    return ranges


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            with suppress(ValueError):
                return min(1.0, max(0.0, float(value)))
    return 1.0


def _rank(ranges: Mapping[str, float], media_type: str) -> tuple[float, int]:
    """Return the quality of a type, and how well the range fits that says so."""
    family = media_type.partition("/")[0]
    for fit, name in ((2, media_type), (1, f"{family}/*"), (0, "*/*")):
        if quality := ranges.get(name):
            return quality, fit
        if name in ranges:
            break
    return 0.0, 0
