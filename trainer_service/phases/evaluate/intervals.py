"""How far a share that was seen may be from the true one."""

import math

#: Two-sided 95 % of the normal distribution.
_Z = 1.959964


def confidence_interval(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in `n` trials, n > 0."""
    centre = share + _Z**2 / (2 * n)
    reach = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    scale = 1 + _Z**2 / n
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
