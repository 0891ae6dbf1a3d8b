"""Content negotiation: which of two media types a client prefers."""

from collections.abc import Iterable, Mapping
from contextlib import suppress


def prefers(accept: str, wanted: str, default: str) -> bool:
    """Return whether an `Accept` header ranks `wanted` above `default`; a tie means no.

    The quality of a type is that of the most specific range that matches it (RFC 9110, 12.5.1).
    Of two types with the same quality, the one with the more specific match is preferred.

    Example:
        prefers("text/html, */*", "text/html", "application/json")  # True
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
    """Return the quality of a type, and how specific the range is that it comes from (0 to 2)."""
    family = media_type.partition("/")[0]
    for fit, name in ((2, media_type), (1, f"{family}/*"), (0, "*/*")):
        if quality := ranges.get(name):
            return quality, fit
        if name in ranges:
            break
    return 0.0, 0
