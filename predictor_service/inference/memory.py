"""Keeps the process as small after many versions as after the first, and free of long pauses."""

import ctypes
import gc
import os
import sys

#: Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
LEAST_ARENAS = 2
LARGE_BYTES = 4 << 20


def steady_malloc() -> bool:
    """Let glibc give back what a swap frees, and return whether it does.

    By itself it keeps eight arenas per core, and comes to keep blocks of up to 32 MB in them once
    some were freed. Here it is one arena per core, and what is large goes back at once; what a
    request takes stays, as getting it anew would cost more.
    """
    arenas = max(LEAST_ARENAS, os.cpu_count() or 1)
    return all([
        _glibc("mallopt", _M_ARENA_MAX, arenas),
        _glibc("mallopt", _M_MMAP_THRESHOLD, LARGE_BYTES),
        _glibc("mallopt", _M_TRIM_THRESHOLD, 4 * LARGE_BYTES),
    ])  # fmt: skip


def return_freed_memory() -> bool:
    """Give the pages that were freed back to the system, and return whether there were any."""
    return _glibc("malloc_trim", 0)


def keep_for_good() -> None:
    """Leave what is there by now, modules above all, out of every collection to come.

    Going through all of it takes 40 ms, in which nobody is answered.
    """
    gc.freeze()


def _glibc(name: str, *arguments: int) -> bool:
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return bool(function and function(*arguments))  # other C libraries have none of them
