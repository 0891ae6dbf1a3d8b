"""Keeps freed memory from piling up while versions come and go."""

import ctypes
import os
import sys

#: `M_ARENA_MAX` of glibc's malloc.h.
_M_ARENA_MAX = -8
LEAST_ARENAS = 2


def limit_arenas() -> bool:
    """Let glibc keep one arena per core instead of eight, and return whether it does.

    What a swap frees stays with the arena it came from. On two cores, eight swaps left a predictor
    of 194 MB with 9 to 23 % more; with two arenas it was 3 to 8 % (benchmarks/swaps.py).
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return bool(mallopt and mallopt(_M_ARENA_MAX, max(LEAST_ARENAS, os.cpu_count() or 1)))
