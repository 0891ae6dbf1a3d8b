"""Shares a limited amount of something, such as memory, among threads."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Lets threads in, in the order in which they came, while their amounts fit together.

    No thread overtakes another, so a thread that takes much does not wait for ever behind many
    that take less.

    Example:
        with room.taken(image_bytes, capacity=1 << 30):
            decode(image)
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = 0
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, amount: int, capacity: int) -> Iterator[None]:
        """Wait until `amount` fits, and hold it while the body runs.

        Args:
            amount: how much this thread takes; more than `capacity` counts as `capacity`.
            capacity: how much all threads may take together.
        """
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
