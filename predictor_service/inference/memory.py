"""Keeps the memory of the process small after many versions, and avoids long pauses."""

import ctypes
import gc
import os
import sys

#: From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
LEAST_ARENAS = 2
LARGE_BYTES = 4 << 20


def steady_malloc() -> bool:
    """Make glibc give memory that a swap frees back to the system.

    By default glibc keeps eight arenas per core, and after a while it keeps freed blocks of up to
    32 MB in them. Here there is one arena per core, and large blocks go back at once. Memory for a
    request stays, since getting it again would cost more.

    Returns:
        Whether the C library has these settings.
    """
    arenas = max(LEAST_ARENAS, os.cpu_count() or 1)
    return all([
        _glibc("mallopt", _M_ARENA_MAX, arenas),
        _glibc("mallopt", _M_MMAP_THRESHOLD, LARGE_BYTES),
        _glibc("mallopt", _M_TRIM_THRESHOLD, 4 * LARGE_BYTES),
    ])  # fmt: skip


def return_freed_memory() -> bool:
    """Give freed pages back to the system, and return whether there were any."""
    return _glibc("malloc_trim", 0)


def keep_for_good() -> None:
    """Exclude all present objects, mostly modules, from garbage collection.

    Each collection of them would take 40 ms, in which no request is answered.
    """
    gc.freeze()


def _glibc(name: str, *arguments: int) -> bool:
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return bool(function and function(*arguments))  # other C libraries lack these functions
