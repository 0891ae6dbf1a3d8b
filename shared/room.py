"""Bounds what threads take at once of something that there is only so much of."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Lets threads in as long as what they take together fits, in the order in which they came.

    Nobody overtakes, so that who takes much is not kept waiting by many who take less.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = 0
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, amount: int, capacity: int) -> Iterator[None]:
        """Wait until `amount` fits, and hold it; what is larger than `capacity` is in alone."""
        amount = min(amount, capacity)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self._taken + amount <= capacity
                )
                self._taken += amount
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()
