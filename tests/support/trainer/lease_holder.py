"""A process that holds a lease."""

import multiprocessing
import os

from trainer_service.store.files.lease import LeaseLost, lease

SPAWN = multiprocessing.get_context("spawn")


def _hold(path, held, lost, end):
    with lease(path) as mine:
        held.put(mine is not None)
        end.wait(60)
        try:
            mine.raise_if_lost()
        except LeaseLost:
            lost.put(True)


class Holder:
    """Another process that holds the lease."""

    def __init__(self, path):
        held, self.lost, self.end = SPAWN.Queue(), SPAWN.Queue(), SPAWN.Event()
        self.process = SPAWN.Process(target=_hold, args=(path, held, self.lost, self.end))
        self.process.start()
        assert held.get(timeout=60) is True

    def send(self, number):
        os.kill(self.process.pid, number)
