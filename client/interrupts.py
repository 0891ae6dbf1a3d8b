"""Lets Ctrl-C end a command quietly while its modules are imported."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Let SIGINT end the process at once, with status 130, while the body imports modules.

    A KeyboardInterrupt could be raised anywhere in the imports of a library, and be printed with
    its traceback. A SIGINT that is ignored stays so.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(_: int, __: FrameType | None) -> None:
    os._exit(INTERRUPTED)  # nothing has been printed or begun yet
