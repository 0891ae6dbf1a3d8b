"""Tells work that grows with its input from work that grows with its square, on any machine.

assert cost_growth(work, 1000) < 2 * FACTOR
"""

import time
from collections.abc import Callable

#: By how much more the second piece of work is than the first.
FACTOR = 8
ROUNDS = 5


def cost_growth(work: Callable[[int], object], size: int) -> float:
    """Return how many times the CPU time of `work(size)` that of `work(FACTOR * size)` is.

    That is about FACTOR, if the work grows with its size, and the square of it if it grows with the
    square. Both are measured several times by turns and the least counts, for what else the machine
    does adds to it.
    """
    turns = [(_seconds(work, size), _seconds(work, FACTOR * size)) for _ in range(ROUNDS)]
    small, large = map(min, zip(*turns, strict=True))
    return large / small


def _seconds(work: Callable[[int], object], size: int) -> float:
    begun = time.thread_time()
    work(size)
    return time.thread_time() - begun
