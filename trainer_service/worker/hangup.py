"""What a worker does when its terminal is closed, or when it is sent SIGHUP."""

import signal
from typing import Any

from celery import bootsteps


class HeedHangup(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Has SIGHUP end the worker as SIGTERM does; one that was started by nohup goes on.

    Celery itself would ignore nohup, and would restart the worker by running its file as a script,
    which fails for a module of a package.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        self._ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def start(self, _: Any) -> None:
        heed = signal.SIG_IGN if self._ignored else signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGHUP, heed)

    def stop(self, _: Any) -> None:
        """Leave the handler: the worker is ending."""
