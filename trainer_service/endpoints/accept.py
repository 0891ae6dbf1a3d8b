"""Which of two media types a client would rather have."""

from contextlib import suppress


def prefers(accept: str, wanted: str, default: str) -> bool:
    """Tell whether an `Accept` header ranks `wanted` above `default`; a tie is the default's.

    A type's quality is that of the most specific range it falls into (RFC 9110, 12.5.1).
    """
    ranges = _ranges(accept)
    return _quality(ranges, wanted) > _quality(ranges, default)


def _ranges(accept: str) -> dict[str, float]:
    ranges = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                with suppress(ValueError):
                    quality = float(parameter[2:])
        ranges[name] = quality
    return ranges


def _quality(ranges: dict[str, float], media_type: str) -> float:
    family = media_type.partition("/")[0]
    for name in (media_type, f"{family}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
