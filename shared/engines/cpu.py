"""Finds out which precision this machine's CPU computes fastest in."""

from functools import cache
from pathlib import Path

from shared.models.manifest import Precision

CPUINFO = Path("/proc/cpuinfo")


@cache
def cpu_precision() -> Precision:
    """Return "bf16" if the CPU multiplies bfloat16 in hardware, else "f32"."""
    return precision_of(_cpu_flags())


def precision_of(flags: set[str]) -> Precision:
    """Return the fastest precision of a CPU with these flags of /proc/cpuinfo."""
    return "bf16" if flags & {"amx_bf16", "avx512_bf16"} else "f32"


def _cpu_flags() -> set[str]:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
