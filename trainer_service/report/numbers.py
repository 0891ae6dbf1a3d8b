"""Writes numbers for readers."""


def percent(share: float) -> str:
    """Return a share as a percentage, which is 100 % only for exactly 1, and 0 % only for 0."""
    shown = f"{share * 100:.1f}"
    if shown == "100.0" and share < 1:
        return "> 99.9 %"
    if shown == "0.0" and share > 0:
        return "< 0.1 %"
    return f"{shown} %"


def seconds(value: float) -> str:
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def size(count: int) -> str:
    """Return a number of bytes with a suitable unit."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:  # noqa: PLR2004 - SI
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
